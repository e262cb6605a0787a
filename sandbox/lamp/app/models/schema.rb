# Whether the database has every migration that this release knows. A newer schema is fine: the old release serves on.
module Schema
  module_function

  def current?
    pool = ActiveRecord::Base.connection_pool
    # Migrations are not taken back under a running process: one look is enough, later ones only ask for a sign of life.
    return pool.with_connection { |connection| connection.select_value("SELECT 1") == 1 } if @migrated

    @migrated = !pool.migration_context.needs_migration?
  end
end
