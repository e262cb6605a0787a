class SchemaTest < ActiveSupport::TestCase
  test "schema.rb is what the migrations make" do
    dump = StringIO.new
    ActiveRecord::SchemaDumper.dump(ActiveRecord::Base.connection_pool, dump)
    assert_equal File.read(Rails.root.join("db/schema.rb")), dump.string
  end
end
