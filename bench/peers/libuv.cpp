// libuv: uv_queue_work on its thread pool, one request a slot, used again and again.
#include <uv.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "scenario.hpp"

namespace {

using peers::Alarm;

class Libuv {
 public:
  static constexpr const char* kName = "libuv";
  static std::string version() { return uv_version_string(); }

  Libuv(peers::Caller& caller, const peers::Scenario& scenario) : caller_(caller), requests_(scenario.most_in_flight) {
    uv_loop_init(&loop_);
    for (uv_timer_t& alarm : alarms_) {
      uv_timer_init(&loop_, &alarm);
      alarm.data = this;
    }
    for (Request& request : requests_) {
      request.work.data = &request;
      request.owner = this;
    }
  }
  Libuv(const Libuv&) = delete;
  Libuv& operator=(const Libuv&) = delete;
  ~Libuv() {
    for (uv_timer_t& alarm : alarms_) uv_close(reinterpret_cast<uv_handle_t*>(&alarm), nullptr);
    uv_run(&loop_, UV_RUN_DEFAULT);
    uv_loop_close(&loop_);
  }

  void call(std::size_t slot, std::uint64_t argument) {
    Request& request = requests_[slot];
    request.value = argument;
    uv_queue_work(&loop_, &request.work, work, done);
  }

  void set_alarm(Alarm alarm, std::chrono::milliseconds delay) {
    uv_timer_start(&alarms_[static_cast<std::size_t>(alarm)], rang, static_cast<std::uint64_t>(delay.count()), 0);
  }

  void run() { uv_run(&loop_, UV_RUN_DEFAULT); }
  void stop() { uv_stop(&loop_); }

 private:
  struct Request {
    uv_work_t work{};
    Libuv* owner = nullptr;
    std::uint64_t value = 0;
  };

  static void work(uv_work_t* work) {
    auto* const request = static_cast<Request*>(work->data);
    request->value = peers::nothing(request->value);
  }
  static void done(uv_work_t* work, int /*status*/) {
    auto* const request = static_cast<Request*>(work->data);
    Libuv& self = *request->owner;
    self.caller_.ended(static_cast<std::size_t>(request - self.requests_.data()), request->value);
  }
  static void rang(uv_timer_t* timer) {
    Libuv& self = *static_cast<Libuv*>(timer->data);
    self.caller_.rang(static_cast<Alarm>(timer - self.alarms_));
  }

  peers::Caller& caller_;
  uv_loop_t loop_{};
  uv_timer_t alarms_[peers::kAlarms]{};
  std::vector<Request> requests_;
};

}  // namespace

int main(int count, char** arguments) {
  // Read when the first request is queued, before which libuv has no thread.
  setenv("UV_THREADPOOL_SIZE", std::to_string(peers::kWorkers).c_str(), 1);
  return peers::run_peer<Libuv>(count, arguments);
}
