Rails.application.routes.draw do
  get "health/live", to: "health#live"
  get "health/ready", to: "health#ready"

  namespace :api do
    resources :lamps, only: :index
    resources :alerts, only: :index do
      post :acknowledge, on: :member
    end
    get "events/:event_id/alert", to: "alerts#of_event"
    match "*path", to: "base#missing", via: :all
  end

  root to: redirect("/admin")
  get "admin", to: "admin#index"
  get "admin/search", to: "admin#search"
end
