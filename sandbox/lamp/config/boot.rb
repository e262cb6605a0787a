# The gems are the distribution's packages: nothing to resolve, so no Bundler and a faster boot.
ENV["RAILS_ENV"] ||= "production"
