# This file is auto-generated from the current state of the database. Instead
# of editing this file, please use the migrations feature of Active Record to
# incrementally modify your database, and then regenerate this schema definition.
#
# This file is the source Rails uses to define your schema when running `bin/rails
# db:schema:load`. When creating a new database, `bin/rails db:schema:load` tends to
# be faster and is potentially less error prone than running all of your
# migrations from scratch. Old migrations may fail to apply correctly if those
# migrations use external dependencies or application code.
#
# It's strongly recommended that you check this file into your version control system.

ActiveRecord::Schema[7.2].define(version: 2026_01_01_000004) do
  # These are extensions that must be enabled in order to support this database
  enable_extension "plpgsql"

  create_table "accounts", force: :cascade do |t|
    t.string "name", null: false
    t.string "api_token_digest", limit: 64, null: false
    t.datetime "created_at", null: false
    t.datetime "updated_at", null: false
    t.index ["api_token_digest"], name: "index_accounts_on_api_token_digest", unique: true
    t.index ["name"], name: "index_accounts_on_name", unique: true
  end

  create_table "alerts", force: :cascade do |t|
    t.bigint "event_id", null: false
    t.bigint "lamp_id", null: false
    t.string "state", limit: 16, default: "open", null: false
    t.datetime "raised_at", null: false
    t.datetime "acknowledged_at"
    t.datetime "escalated_at"
    t.index ["event_id"], name: "index_alerts_on_event_id", unique: true
    t.index ["lamp_id", "id"], name: "index_alerts_on_lamp_id_and_id"
    t.index ["raised_at"], name: "index_alerts_open", where: "((state)::text = 'open'::text)"
    t.check_constraint "state::text = ANY (ARRAY['open'::character varying, 'acknowledged'::character varying, 'escalated'::character varying]::text[])", name: "alerts_state"
  end

  create_table "cursors", primary_key: "name", id: { type: :string, limit: 64 }, force: :cascade do |t|
    t.bigint "position", default: 0, null: false
    t.datetime "updated_at", null: false
  end

  create_table "events", force: :cascade do |t|
    t.bigint "lamp_id"
    t.uuid "uuid", null: false
    t.uuid "fingerprint"
    t.string "kind", limit: 16, null: false
    t.string "flaw", limit: 32
    t.string "topic", limit: 512, null: false
    t.jsonb "payload"
    t.binary "raw"
    t.datetime "occurred_at"
    t.datetime "received_at", null: false
    t.datetime "enqueued_at"
    t.datetime "alerted_at"
    t.datetime "created_at", default: -> { "now()" }, null: false
    t.index ["created_at"], name: "index_events_awaiting_alert", where: "(((kind)::text = 'fall'::text) AND (alerted_at IS NULL))"
    t.index ["fingerprint", "received_at"], name: "index_events_on_fingerprint_and_received_at", where: "(fingerprint IS NOT NULL)"
    t.index ["lamp_id", "uuid"], name: "index_events_on_lamp_id_and_uuid", unique: true
    t.index ["received_at"], name: "index_events_on_received_at"
    t.index ["uuid"], name: "index_events_on_uuid_without_lamp", unique: true, where: "(lamp_id IS NULL)"
    t.check_constraint "kind::text = ANY (ARRAY['fall'::character varying, 'malformed'::character varying, 'unknown'::character varying]::text[])", name: "events_kind"
  end

  create_table "lamps", force: :cascade do |t|
    t.bigint "account_id", null: false
    t.string "serial", limit: 64, null: false
    t.string "broker_password_hash", null: false
    t.datetime "broker_synced_at"
    t.datetime "created_at", null: false
    t.datetime "updated_at", null: false
    t.boolean "canary", default: false, null: false
    t.index ["account_id"], name: "index_lamps_on_account_id"
    t.index ["serial"], name: "index_lamps_on_serial", unique: true
    t.index ["updated_at"], name: "index_lamps_without_broker_account", where: "(broker_synced_at IS NULL)"
  end

  add_foreign_key "alerts", "events"
  add_foreign_key "alerts", "lamps"
  add_foreign_key "events", "lamps"
  add_foreign_key "lamps", "accounts"
end
