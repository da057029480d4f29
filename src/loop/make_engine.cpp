// The choice, and what is said of it.
#include "loop/make_engine.hpp"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/log.hpp"
#include "loop/epoll_engine.hpp"
#include "loop/ring.hpp"

namespace leasepool::detail {

namespace {

LoopEngine from_environment() {
  const char* const value = std::getenv("LEASEPOOL_ENGINE");
  const std::string_view name = value == nullptr ? "" : value;
  if (name.empty() || name == "automatic") return LoopEngine::automatic;
  if (name == "io_uring") return LoopEngine::io_uring;
  if (name == "epoll") return LoopEngine::epoll;
  throw std::invalid_argument("leasepool: the environment's LEASEPOOL_ENGINE is \"" + std::string(name) +
                              "\", and may be automatic, io_uring or epoll");
}

void log_once(const RingRefused& refused) {
  static std::atomic_flag is_said;
  if (is_said.test()) return;
  const std::string text = std::string("the loop runs on epoll, as ") + refused.text() +
                           "; all else works, file I/O on threads. LoopOptions::engine or LEASEPOOL_ENGINE=epoll in "
                           "the environment asks for "
                           "epoll without this line";
  if (is_said.test_and_set()) return;
  write_log({}, {.time = std::chrono::system_clock::now(), .level = LogLevel::warning, .text = text});
}

std::unique_ptr<Engine> make_ring_or_epoll() {
  try {
    return std::make_unique<Ring>();
  } catch (const RingRefused& refused) {
    if (!refused.by_policy()) throw;
    auto engine = std::make_unique<EpollEngine>();
    log_once(refused);
    return engine;
  }
}

}  // namespace

std::unique_ptr<Engine> make_engine(LoopEngine wanted) {
  switch (wanted == LoopEngine::automatic ? from_environment() : wanted) {
    case LoopEngine::automatic: return make_ring_or_epoll();
    case LoopEngine::io_uring: return std::make_unique<Ring>();
    case LoopEngine::epoll: return std::make_unique<EpollEngine>();
  }
  throw std::invalid_argument("leasepool: LoopOptions::engine is none of LoopEngine's values");
}

}  // namespace leasepool::detail
