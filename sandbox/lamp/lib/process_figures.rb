require "etc"

# A process and its children as the kernel sees them.
class ProcessFigures
  TICKS = Etc.sysconf(Etc::SC_CLK_TCK)
  PAGE = Etc.sysconf(Etc::SC_PAGESIZE)
  STARTED = Time.now.to_f

  # The figures by the names of Measures::PROCESS; what can not be read is left out.
  def read
    family = [Process.pid, *children(Process.pid)].filter_map { |pid| one(pid) }
    sums = family.transpose.map(&:sum)
    { "process_cpu_seconds_total" => sums[0], "process_threads" => sums[1], "process_resident_memory_bytes" => sums[2],
      "process_open_fds" => sums[3], "process_start_time_seconds" => STARTED }
  rescue SystemCallError
    {}
  end

  private

  def children(pid)
    File.read("/proc/#{pid}/task/#{pid}/children").split.map(&:to_i)
  rescue SystemCallError
    []
  end

  # After the name, which may contain anything: fields 14 and 15 are the ticks, 20 the threads, 24 the pages.
  def one(pid)
    fields = File.read("/proc/#{pid}/stat").rpartition(") ").last.split
    [(fields[11].to_i + fields[12].to_i) / TICKS.to_f, fields[17].to_i, fields[21].to_i * PAGE, Dir.children("/proc/#{pid}/fd").size]
  rescue SystemCallError
    nil
  end
end
