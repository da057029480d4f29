// BlockingThreads: a few threads that do, one each, what would block the loop's.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>

#include "base/unique_fd.hpp"
#include "leasepool/duration.hpp"
#include "loop/engine.hpp"

namespace leasepool::detail {

// The loop's thread alone. Each thread is made when there is something to do and none is free; then they stay.
class BlockingThreads {
 public:
  static constexpr std::size_t kMost = 4;

  // An operation that runs here. It carries its own link, so that to hand it over needs no memory. Whoever adds it
  // keeps it, with all that the operation uses, until it was withdrawn or taken as done.
  struct Job {
    enum class State : std::uint8_t { idle, queued, running, done };
    Operation operation{};
    int result = 0;
    std::uint32_t tag = 0;  // whose it is
    State state = State::idle;
    Job* next = nullptr;
  };

  // Throws std::bad_alloc, and std::system_error when there are no descriptors left.
  BlockingThreads();
  BlockingThreads(const BlockingThreads&) = delete;
  BlockingThreads& operator=(const BlockingThreads&) = delete;
  // Nothing may run, unless it was abandoned.
  ~BlockingThreads();

  // Its poll reports an edge whenever something is done; it is never read.
  [[nodiscard]] int done_fd() const noexcept { return shared_->done_fd.get(); }

  // 0; or an errno, and then it does not run: no thread could be made, and there is none.
  [[nodiscard]] int add(Job& job) noexcept;
  // Whether it had not begun: then it never will.
  [[nodiscard]] bool withdraw(Job& job) noexcept;
  // Those that are done since the last time, as a list, the first one first.
  [[nodiscard]] Job* take_done() noexcept;
  // Until it is done.
  void wait_for(const Job& job) noexcept;

  // Runs nothing more. Waits for what runs, for so long at most; false if something still does: its job is to be kept
  // for good.
  [[nodiscard]] bool abandon(Duration patience) noexcept;

 private:
  struct List {
    Job* first = nullptr;
    Job* last = nullptr;
  };
  // What the threads use, which may outlive this where it was abandoned.
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;  // for the threads
    std::condition_variable done_one;
    List queued;
    List done;
    std::size_t waiting = 0;  // jobs in queued
    std::size_t idle = 0;     // threads that look for one
    std::size_t running = 0;
    bool ending = false;
    UniqueFd done_fd;
  };

  static void append(List& list, Job& job) noexcept;
  static void thread_main(const std::shared_ptr<Shared>& shared) noexcept;
  int start_thread() noexcept;
  void end(std::unique_lock<std::mutex>& lock) noexcept;

  const std::uint64_t process_;
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  using Threads = std::array<std::thread, kMost>;
  std::unique_ptr<Threads> threads_ = std::make_unique<Threads>();
  std::size_t thread_count_ = 0;
};

}  // namespace leasepool::detail
