class CreateEventsAndAlerts < ActiveRecord::Migration[7.2]
  def change
    create_table :events do |t|
      t.references :lamp, foreign_key: true, index: false
      t.uuid :uuid, null: false
      t.uuid :fingerprint
      t.string :kind, null: false, limit: 16
      t.string :flaw, limit: 32
      t.string :topic, null: false, limit: 512
      t.jsonb :payload
      t.binary :raw
      t.datetime :occurred_at
      t.datetime :received_at, null: false
      t.datetime :enqueued_at
      t.datetime :alerted_at
      t.datetime :created_at, null: false, default: -> { "now()" }

      t.index %i[lamp_id uuid], unique: true
      t.index :uuid, unique: true, where: "lamp_id IS NULL", name: "index_events_on_uuid_without_lamp"
      t.index %i[fingerprint received_at], where: "fingerprint IS NOT NULL"
      t.index :created_at, where: "kind = 'fall' AND alerted_at IS NULL", name: "index_events_awaiting_alert"
      t.check_constraint "kind IN ('fall', 'malformed', 'unknown')", name: "events_kind"
    end

    create_table :alerts do |t|
      t.references :event, null: false, foreign_key: true, index: { unique: true }
      t.references :lamp, null: false, foreign_key: true, index: false
      t.string :state, null: false, default: "open", limit: 16
      t.datetime :raised_at, null: false
      t.datetime :acknowledged_at
      t.datetime :escalated_at

      t.index %i[lamp_id id]
      t.index :raised_at, where: "state = 'open'", name: "index_alerts_open"
      t.check_constraint "state IN ('open', 'acknowledged', 'escalated')", name: "alerts_state"
    end
  end
end
