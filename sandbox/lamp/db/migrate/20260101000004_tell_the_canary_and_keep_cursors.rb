# A column with a default that does not change is added without rewriting the table.
class TellTheCanaryAndKeepCursors < ActiveRecord::Migration[7.2]
  def change
    add_column :lamps, :canary, :boolean, null: false, default: false

    create_table :cursors, id: false do |t|
      t.string :name, primary_key: true, limit: 64
      t.bigint :position, null: false, default: 0
      t.datetime :updated_at, null: false
    end
  end
end
