// GLib: a GThreadPool with threads of its own, whose results come back by g_main_context_invoke_full.
#include <glib.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "scenario.hpp"

namespace {

using peers::Alarm;

class Glib {
 public:
  static constexpr const char* kName = "glib";
  static std::string version() {
    return std::to_string(glib_major_version) + '.' + std::to_string(glib_minor_version) + '.' +
           std::to_string(glib_micro_version);
  }

  Glib(peers::Caller& caller, const peers::Scenario& scenario)
      : caller_(caller),
        loop_(g_main_loop_new(nullptr, 0)),
        pool_(g_thread_pool_new(work, nullptr, static_cast<int>(peers::kWorkers), 1, nullptr)),
        requests_(scenario.most_in_flight) {
    for (Request& request : requests_) request.owner = this;
    // A context that nobody owns yet would have its functions invoked by the pool's threads.
    g_main_context_acquire(nullptr);
  }
  Glib(const Glib&) = delete;
  Glib& operator=(const Glib&) = delete;
  ~Glib() {
    g_thread_pool_free(pool_, 0, 1);
    g_main_context_release(nullptr);
    g_main_loop_unref(loop_);
  }

  void call(std::size_t slot, std::uint64_t argument) {
    requests_[slot].value = argument;
    g_thread_pool_push(pool_, &requests_[slot], nullptr);
  }

  void set_alarm(Alarm alarm, std::chrono::milliseconds delay) {
    g_timeout_add(static_cast<guint>(delay.count()), alarm == Alarm::phase ? rang<Alarm::phase> : rang<Alarm::pace>,
                  this);
  }

  void run() { g_main_loop_run(loop_); }
  void stop() { g_main_loop_quit(loop_); }

 private:
  struct Request {
    Glib* owner = nullptr;
    std::uint64_t value = 0;
  };

  static void work(void* data, void* /*of the pool*/) {
    auto* const request = static_cast<Request*>(data);
    request->value = peers::nothing(request->value);
    g_main_context_invoke_full(nullptr, G_PRIORITY_DEFAULT, done, request, nullptr);
  }
  static gboolean done(void* data) {
    auto* const request = static_cast<Request*>(data);
    Glib& self = *request->owner;
    self.caller_.ended(static_cast<std::size_t>(request - self.requests_.data()), request->value);
    return 0;  // once
  }
  template <Alarm alarm>
  static gboolean rang(void* self) {
    static_cast<Glib*>(self)->caller_.rang(alarm);
    return 0;
  }

  peers::Caller& caller_;
  GMainLoop* loop_;
  GThreadPool* pool_;
  std::vector<Request> requests_;
};

}  // namespace

int main(int count, char** arguments) { return peers::run_peer<Glib>(count, arguments); }
