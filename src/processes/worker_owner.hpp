// WorkerOwner: what a worker tells whoever owns it, and asks of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "leasepool/detail/job.hpp"
#include "leasepool/log.hpp"
#include "processes/decoding.hpp"
#include "wire/frame.hpp"

namespace leasepool::detail {

class Worker;

// Loop thread only.
class WorkerOwner {
 public:
  // Takes jobs from now on.
  virtual void worker_ready(Worker& worker) = 0;
  // A job has an outcome, null if nobody waits for it; the worker has begun the next one, or can take one.
  virtual void worker_finished(Worker& worker, std::unique_ptr<Job> job) = 0;
  // Prepares to decode a result beside the loop; null where it is to be decoded here.
  virtual std::shared_ptr<Decoding> prepare_decoding(const Worker& worker, const Job& job,
                                                     const Frame& frame) noexcept = 0;
  // What was prepared, begun: the job goes on to its end from there. Returns it if it has come to its end already.
  virtual std::unique_ptr<Job> begin_decoding(const std::shared_ptr<Decoding>& decoding,
                                              std::unique_ptr<Job> job) noexcept = 0;
  // It is dead, or about to be: a replacement can be made. Once, before worker_gone.
  virtual void worker_dying(Worker& worker) = 0;
  // Whether there is room for a line of that many bytes; else it need not be made a record.
  [[nodiscard]] virtual bool takes_line(std::size_t size) const = 0;
  // It printed or logged a line.
  virtual void worker_printed(LogRecord record) = 0;
  // It printed or logged lines for which there was no room.
  virtual void worker_dropped_lines(std::uint64_t lines) = 0;
  // This process may not send it SIGKILL: whoever may is to be asked. Takes no memory.
  virtual void may_not_kill(Worker& worker) noexcept = 0;
  // Nothing of it is left. `job` is what it was running, if anything; what waited behind can be taken back.
  virtual void worker_gone(Worker& worker, std::unique_ptr<Job> job) = 0;

 protected:
  ~WorkerOwner() = default;
};

}  // namespace leasepool::detail
