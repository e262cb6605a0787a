# RequestLog writes the one line per request; these would add several more.
ActiveSupport.on_load(:action_controller) { ActionController::LogSubscriber.detach_from(:action_controller) }
ActiveSupport.on_load(:action_view) { ActionView::LogSubscriber.detach_from(:action_view) }
