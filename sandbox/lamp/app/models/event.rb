# One message of a lamp, as it came. Falls lead to an alert; what nobody can read is kept all the same.
class Event < ApplicationRecord
  FALL = "fall"
  MALFORMED = "malformed"
  UNKNOWN = "unknown"

  belongs_to :lamp, optional: true
  has_one :alert, dependent: :restrict_with_error

  scope :awaiting_alert, -> { where(kind: FALL, alerted_at: nil) }
  # All but the canary's; also those of no lamp of ours.
  scope :of_people, -> { where(lamp_id: nil).or(where.not(lamp_id: Lamp.canary.select(:id))) }
  scope :newest, -> { order(received_at: :desc, id: :desc) }

  # Deletes at most +limit+ of the canary's events that came before +time+, with their alerts, and returns how many.
  def self.forget_canary(before:, limit:)
    old = where(lamp_id: Lamp.canary.select(:id), received_at: ...before).order(:id).limit(limit).ids
    transaction do
      Alert.where(event_id: old).delete_all
      where(id: old).delete_all
    end
  end

  # Marks at most +limit+ forgotten falls as enqueued and returns their ids. Safe in several processes at once.
  def self.claim_forgotten(older_than:, not_since:, limit:)
    claimable = awaiting_alert.where(created_at: ...older_than)
                              .and(where(enqueued_at: nil).or(where(enqueued_at: ...not_since)))
                              .order(:created_at).limit(limit).lock("FOR UPDATE SKIP LOCKED")
    transaction do
      claimable.pluck(:id).each_slice(1000) { |ids| where(id: ids).update_all(enqueued_at: Time.current) }.flatten
    end
  end

  def flawed?
    kind != FALL || flaw.present?
  end
end
