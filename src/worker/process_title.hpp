// What `ps` shows of a fork server and of its workers in place of the program's command line, which the kernel reads
// from a process's memory: who it is, and what it runs. To write it takes no system call.
#pragma once

#include <cstdint>
#include <string_view>

namespace leasepool::detail {

// In the fork server, once: puts the title, which its children inherit, where it can be written. Where the kernel
// refuses that, the command line stays the program's, and what follows does nothing.
void prepare_process_title() noexcept;

// "PROGRAM: leasepool TEXT", cut where it is too long.
void set_process_title(std::string_view text) noexcept;

// A worker's: its pool and number, and what it runs.
class WorkerTitle {
 public:
  void set(std::string_view pool, std::uint64_t worker_id) noexcept;
  // A call of the function begins, and ends. The name is that of a registered function, which stays where it is.
  void begin(std::string_view function) noexcept;
  void end() noexcept;

 private:
  char* state_ = nullptr;  // where "idle" stands, or "runs" with the function behind it
  std::string_view shown_;
};

}  // namespace leasepool::detail
