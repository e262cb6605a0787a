# Stores messages as events, once each, and has alerts raised for the falls among them. When #store returns, all of them
# are committed; when it raises, the database is away and the same messages may be stored again.
class Intake
  # How long equal messages without an id of their own count as one. Longer than a standby takes to get redeliveries.
  SAME_WORDS = 60.seconds

  Receipt = Data.define(:message, :attributes, :event_id, :account) do
    def duplicate? = event_id.nil?
    def fall? = attributes[:kind] == Event::FALL
  end

  def store(messages)
    receipts = commit(messages)
    raise_alerts(receipts.select { |receipt| receipt.fall? && !receipt.duplicate? }.map(&:event_id))
    receipts.each do |receipt|
      count(receipt)
      log(receipt)
    end
  end

  private

  def commit(messages)
    write(messages, :attributes)
  rescue StandardError => error
    raise if DatabaseTrouble.away?(error)

    # One of them is refused: apart, it cannot hold up the others, and bare, it cannot be refused.
    messages.flat_map { |message| commit_alone(message) }
  end

  def commit_alone(message)
    write([message], :attributes)
  rescue StandardError => error
    raise if DatabaseTrouble.away?(error)

    Rails.logger.warn(msg: "stored bare", topic: message.topic, error: error.class.name)
    write([message], :bare_attributes)
  end

  def write(messages, form)
    found = Lamp.where(serial: messages.filter_map(&:serial).uniq).pluck(:serial, :id, :canary)
    lamps = found.to_h { |serial, id, _canary| [serial, id] }
    canaries = found.filter_map { |_serial, id, canary| id if canary }
    rows = messages.map { |message| message.public_send(form, lamps[message.serial]) }
    known = known_words(messages)
    wanted = rows.zip(messages).reject { |row, message| message.guessed_identity? && !known.add?(row[:fingerprint]) }
    fresh = insert(wanted.map(&:first))
    rows.zip(messages).map do |row, message|
      account = Measures.account(row[:lamp_id], canaries.include?(row[:lamp_id]))
      Receipt.new(message, row, fresh.delete(row.values_at(:lamp_id, :uuid)), account)
    end
  end

  # The new events' ids, by lamp and uuid.
  def insert(rows)
    return {} if rows.empty?

    Event.insert_all(rows, returning: %w[id lamp_id uuid]).rows.to_h { |id, lamp_id, uuid| [[lamp_id, uuid], id] }
  end

  def known_words(messages)
    guessed = messages.select(&:guessed_identity?)
    return Set.new if guessed.empty?

    since = guessed.map(&:received_at).min - SAME_WORDS
    Event.where(fingerprint: guessed.map(&:fingerprint), received_at: since..).pluck(:fingerprint).to_set
  end

  # The events are safe by now. Redis away must not make a fall wait: the alert is then raised here and at once.
  def raise_alerts(event_ids)
    return if event_ids.empty?

    RaiseAlertJob.perform_bulk(event_ids.zip)
  rescue RedisClient::Error, ConnectionPool::TimeoutError => error
    Rails.logger.warn(msg: "enqueue failed, raised directly", falls: event_ids.size, error: error.class.name)
    raise_directly(event_ids)
  end

  def raise_directly(event_ids)
    Alert.raise_for(event_ids, by: "consumer")
  rescue ActiveRecord::ActiveRecordError => error
    Rails.logger.warn(msg: "left to the sweeper", falls: event_ids.size, error: error.class.name)
  end

  def count(receipt)
    Measures::MESSAGES.add(account: receipt.account, kind: receipt.attributes[:kind])
    Measures::LAST_MESSAGE.set(Time.now.to_f.round(3), account: receipt.account)
  end

  def log(receipt)
    row = receipt.attributes
    Rails.logger.info(msg: "event", event_id: row[:uuid], kind: row[:kind], flaw: row[:flaw], topic: row[:topic],
                      duplicate: receipt.duplicate?, ms: ((Time.current - row[:received_at]) * 1000).round)
  end
end
