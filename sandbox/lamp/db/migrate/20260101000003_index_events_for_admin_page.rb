# Concurrently: an index made under a lock would hold up the consumer for as long as it takes.
class IndexEventsForAdminPage < ActiveRecord::Migration[7.2]
  disable_ddl_transaction!

  def change
    add_index :events, :received_at, algorithm: :concurrently, if_not_exists: true
  end
end
