class SchemaTest < ActiveSupport::TestCase
  # Tables only: the rest depends on where the tests may put them.
  def tables(text) = text.lines.grep(/^\s+t\.|^  create_table|^  add_foreign_key/)

  test "schema.rb is what the migrations make" do
    dump = StringIO.new
    ActiveRecord::SchemaDumper.dump(ActiveRecord::Base.connection_pool, dump)
    assert_equal tables(File.read(Rails.root.join("db/schema.rb"))), tables(dump.string)
  end
end
