# How far somebody has come who reads a table in the order of its ids. It is kept beside the table, so that a database
# that was restored, or lost its last seconds in a failover, knows no cursor beyond its own rows.
class Cursor < ApplicationRecord
  self.primary_key = "name"

  # Forward only: of two that read the same, the slower one takes nothing back.
  def self.advance(name, position)
    upsert({ name:, position:, updated_at: Time.current },
           on_duplicate: Arel.sql("position = greatest(cursors.position, excluded.position), updated_at = excluded.updated_at"))
  end

  def self.position(name)
    where(name:).pick(:position) || 0
  end
end
