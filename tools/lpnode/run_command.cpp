// A node from its start to its end: libraries first, then the fork server, then the server and the workers.
#include <leasepool/init.hpp>
#include <leasepool/loop.hpp>
#include <leasepool/node.hpp>
#include <leasepool/signal_set.hpp>

#include <dlfcn.h>
#include <fmt/format.h>

#include <csignal>
#include <cstdlib>
#include <stdexcept>

#include "../common/standard_streams.hpp"
#include "commands.hpp"
#include "config.hpp"
#include "notify.hpp"

namespace lpnode {

namespace {

using leasepool::Error;
using leasepool::LogLevel;
using leasepool::Result;

// Where the journal reads, it takes a line's level from its beginning: sd-daemon(3).
void print_line(LogLevel level, std::string_view text) {
  static const bool to_journal = std::getenv("JOURNAL_STREAM") != nullptr;  // NOLINT(concurrency-mt-unsafe)
  static constexpr std::string_view kNames[] = {"debug: ", "info: ", "warning: ", "error: "};
  static constexpr std::string_view kLevels[] = {"<7>", "<6>", "<4>", "<3>"};
  const auto at = static_cast<std::size_t>(level);
  tools::complain("{}{}\n", to_journal ? kLevels[at] : kNames[at], text);
}

void print_record(const leasepool::LogRecord& record) {
  if (record.source == leasepool::LogSource::manager) return print_line(record.level, record.text);
  print_line(record.level, fmt::format("{} worker {}{}{}: {}", record.pool, record.pid,
                                       record.function.empty() ? "" : " in ", record.function, record.text));
}

// Stays: what is registered in it is for as long as there is the process.
void load_library(const std::string& file) {
  if (::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr) return;
  const char* const why = ::dlerror();  // NOLINT(concurrency-mt-unsafe): there is one thread
  throw std::runtime_error(fmt::format("{} cannot be loaded: {}", file, why == nullptr ? "no reason is known" : why));
}

// SIGTERM drains; a second one, or SIGINT, stops by force.
class Service {
 public:
  explicit Service(const Config& config)
      : signals_(loop_, {SIGTERM, SIGINT}), node_(loop_, config.remote, config.pools) {}

  int run(const StatsConfig& stats) {
    serve(stats);
    wait_for_signal();
    node_.start_async([this](const Result<void>& result) { started(result); });
    loop_.run();
    return exit_code_;
  }

 private:
  void serve(const StatsConfig& stats) {
    if (!stats.socket.empty()) {
      const leasepool::Address at = stats.socket == "default"
                                        ? loop_.serve_stats()
                                        : loop_.serve_stats(leasepool::UnixEndpoint{.path = stats.socket});
      print_line(LogLevel::info, "stats for lptop at " + at.path);
    }
    if (stats.listen) {
      const leasepool::Address at = loop_.serve_stats(
          leasepool::Endpoint{.host = stats.listen->host, .port = stats.listen->port}, {.hosts = stats.hosts});
      print_line(LogLevel::info, "stats at http://" + at.text() + "/");
    }
  }
  void wait_for_signal() {
    signals_.next_async([this](const Result<int>& signal) {
      if (!signal) return;
      stop(stopping_ || *signal == SIGINT);
      wait_for_signal();
    });
  }
  void started(const Result<void>& result) {
    if (result) return notify("READY=1");
    if (!stopping_) {
      print_line(LogLevel::error, result.error().message());
      exit_code_ = kFailure;
    }
    loop_.stop();
  }
  void stop(bool force) {
    if (!stopping_) notify("STOPPING=1");
    stopping_ = true;
    node_.stop_async(force, [this](const Result<void>&) { loop_.stop(); });
  }

  leasepool::Loop loop_;
  leasepool::SignalSet signals_;
  leasepool::Node node_;
  bool stopping_ = false;
  int exit_code_ = kSuccess;
};

}  // namespace

int run(const RunOptions& options) {
  Config config = read_config(options.config);
  config.load.insert(config.load.end(), options.load.begin(), options.load.end());
  if (config.load.empty()) {
    throw std::runtime_error("there is nothing to lend: name a library of functions with --load FILE, or with the key "
                             "load of " +
                             options.config);
  }
  for (const std::string& file : config.load) load_library(file);
  config.pools.log = print_record;
  leasepool::init();
  try {
    Service service(config);
    return options.check ? kSuccess : service.run(config.stats);
  } catch (const std::invalid_argument& error) {
    throw ConfigError(config.located(error.what()));
  }
}

}  // namespace lpnode
