// asio: a thread_pool whose functions post their results back to an io_context, which one thread runs.
#define ASIO_STANDALONE
#include <asio.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "scenario.hpp"

namespace {

using peers::Alarm;

class Asio {
 public:
  static constexpr const char* kName = "asio";
  static std::string version() {
    return std::to_string(ASIO_VERSION / 100000) + '.' + std::to_string(ASIO_VERSION / 100 % 1000) + '.' +
           std::to_string(ASIO_VERSION % 100);
  }

  Asio(peers::Caller& caller, const peers::Scenario& /*scenario*/) : caller_(caller) {}
  Asio(const Asio&) = delete;
  Asio& operator=(const Asio&) = delete;
  ~Asio() { pool_.join(); }

  void call(std::size_t slot, std::uint64_t argument) {
    asio::post(pool_, [this, slot, argument] {
      const std::uint64_t result = peers::nothing(argument);
      asio::post(context_, [this, slot, result] { caller_.ended(slot, result); });
    });
  }

  void set_alarm(Alarm alarm, std::chrono::milliseconds delay) {
    asio::steady_timer& timer = alarms_[static_cast<std::size_t>(alarm)];
    timer.expires_after(delay);
    timer.async_wait([this, alarm](const asio::error_code& error) {
      if (!error) caller_.rang(alarm);
    });
  }

  void run() { context_.run(); }
  void stop() { context_.stop(); }

 private:
  peers::Caller& caller_;
  asio::io_context context_{1};  // the hint: one thread runs it, so it need wake no other
  asio::executor_work_guard<asio::io_context::executor_type> guard_ = asio::make_work_guard(context_);
  asio::steady_timer alarms_[peers::kAlarms] = {asio::steady_timer(context_), asio::steady_timer(context_)};
  asio::thread_pool pool_{peers::kWorkers};
};

}  // namespace

int main(int count, char** arguments) { return peers::run_peer<Asio>(count, arguments); }
