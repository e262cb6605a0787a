namespace :search do
  desc "Measure the indexer beside bulk requests sent straight at the search engine (events)"
  task :measure, [:events] => :environment do |_task, args|
    puts JSON.generate(IndexMeasurement.new(events: Integer(args.fetch(:events, 50_000))).run)
  end
end
