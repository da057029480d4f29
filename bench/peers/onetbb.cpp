// oneTBB: a task_arena of two workers, whose results go to a loop of ours.
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/version.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "result_loop.hpp"
#include "scenario.hpp"

namespace {

using peers::Alarm;

class OneTbb {
 public:
  static constexpr const char* kName = "onetbb";
  static std::string version() { return TBB_runtime_version(); }

  OneTbb(peers::Caller& caller, const peers::Scenario& scenario) : loop_(caller, scenario) { arena_.initialize(); }
  OneTbb(const OneTbb&) = delete;
  OneTbb& operator=(const OneTbb&) = delete;
  ~OneTbb() { arena_.terminate(); }

  void call(std::size_t slot, std::uint64_t argument) {
    arena_.enqueue([this, slot, argument] { loop_.post(slot, peers::nothing(argument)); });
  }

  void set_alarm(Alarm alarm, std::chrono::milliseconds delay) { loop_.set_alarm(alarm, delay); }
  void run() { loop_.run(); }
  void stop() { loop_.stop(); }

 private:
  peers::ResultLoop loop_;
  // oneTBB counts the thread that calls it, which here only enqueues, and starts as many workers as cores less one.
  oneapi::tbb::global_control workers_{oneapi::tbb::global_control::max_allowed_parallelism, peers::kWorkers + 1};
  oneapi::tbb::task_arena arena_{peers::kWorkers, 0};
};

}  // namespace

int main(int count, char** arguments) { return peers::run_peer<OneTbb>(count, arguments); }
