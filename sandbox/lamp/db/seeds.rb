DemoSeed.new.plant
