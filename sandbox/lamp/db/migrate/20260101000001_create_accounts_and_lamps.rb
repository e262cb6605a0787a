class CreateAccountsAndLamps < ActiveRecord::Migration[7.2]
  def change
    create_table :accounts do |t|
      t.string :name, null: false
      t.string :api_token_digest, null: false, limit: 64
      t.timestamps
      t.index :name, unique: true
      t.index :api_token_digest, unique: true
    end

    create_table :lamps do |t|
      t.references :account, null: false, foreign_key: true
      t.string :serial, null: false, limit: 64
      t.string :broker_password_hash, null: false
      t.datetime :broker_synced_at
      t.timestamps
      t.index :serial, unique: true
      t.index :updated_at, where: "broker_synced_at IS NULL", name: "index_lamps_without_broker_account"
    end
  end
end
