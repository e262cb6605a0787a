namespace :lamps do
  desc "Take up lamps from a file of serial,password lines and make their broker accounts (ACCOUNT=name)"
  task :import, [:file] => :environment do |_task, args|
    file = args.fetch(:file) { abort "lamps:import[file.csv]: which file?" }
    account = Account.find_by!(name: Setting.text("ACCOUNT", DemoSeed::ACCOUNT))
    result = LampImport.new(account).run(File.foreach(file, encoding: "UTF-8:UTF-8"))
    result.refused.each { |line| warn "#{file}: #{line}" }
    puts "#{result.taken} lamps taken up, #{result.refused.size} lines refused"
    exit 1 if result.refused.any?
  end

  desc "Make one lamp; its generated password is shown once (ACCOUNT=name)"
  task :create, [:serial] => :environment do |_task, args|
    account = Account.find_by!(name: Setting.text("ACCOUNT", DemoSeed::ACCOUNT))
    password = BrokerPassword.generate
    lamp = account.lamps.create!(serial: args.fetch(:serial), broker_password: password)
    LampAccountJob.perform_async(lamp.id)
    puts "#{lamp.serial},#{password}"
  end

  desc "Make all lamps' accounts in the broker again, for instance in a new one"
  task sync: :environment do
    Lamp.where(canary: false).in_batches(of: LampImport::SLICE) do |lamps|
      BrokerAccounts.new.import(lamps.to_a)
      lamps.update_all(broker_synced_at: Time.current)
    end
    puts "#{Lamp.count} lamps"
  end
end
