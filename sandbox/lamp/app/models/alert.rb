# Somebody has to be told of a fall. Exactly one per event: the unique index makes every way of raising it harmless.
class Alert < ApplicationRecord
  OPEN = "open"
  ACKNOWLEDGED = "acknowledged"
  ESCALATED = "escalated"

  belongs_to :event
  belongs_to :lamp

  # All but the canary's: what people see, and what is escalated.
  scope :of_people, -> { where.not(lamp_id: Lamp.canary.select(:id)) }
  scope :newest, -> { order(id: :desc) }
  scope :unanswered_since, ->(time) { of_people.where(state: OPEN, raised_at: ...time) }

  # Seconds that a carer has before the next one is told.
  def self.patience
    Setting.number("ESCALATE_AFTER", 60)
  end

  # Raises what is missing for these falls and returns the ids of the alerts that are new.
  # +by+ says who does it, to whoever counts.
  def self.raise_for(event_ids, by: "job")
    made = transaction do
      falls = Event.where(id: event_ids, kind: Event::FALL).where.not(lamp_id: nil).pluck(:id, :lamp_id)
      next [] if falls.empty?

      now = Time.current
      rows = falls.map { |event_id, lamp_id| { event_id:, lamp_id:, raised_at: now } }
      fresh = insert_all(rows, returning: %i[id lamp_id]).rows
      Event.where(id: falls.map(&:first), alerted_at: nil).update_all(alerted_at: now)
      fresh
    end
    tally(made.map(&:last), by)
    made.map(&:first)
  end

  def self.tally(lamp_ids, by)
    return if lamp_ids.empty?

    canaries = Lamp.canary.where(id: lamp_ids).ids
    lamp_ids.each { |id| Measures::ALERTS.add(account: Measures.account(id, canaries.include?(id)), by:) }
  end
  private_class_method :tally

  # One statement, so that a carer's answer and the escalation cannot both win.
  def acknowledge
    self.class.where(id:).where.not(state: ACKNOWLEDGED)
        .update_all(state: ACKNOWLEDGED, acknowledged_at: Time.current)
    reload
  end

  def self.escalate(ids)
    of_people.where(id: ids, state: OPEN).update_all(state: ESCALATED, escalated_at: Time.current)
  end

  def as_json(*)
    { id:, event_id: event.uuid, lamp: lamp.serial, state:,
      raised_at: stamp(raised_at), occurred_at: stamp(event.occurred_at), received_at: stamp(event.received_at),
      acknowledged_at: stamp(acknowledged_at), escalated_at: stamp(escalated_at) }
  end

  private

  def stamp(time)
    time&.utc&.iso8601(3)
  end
end
