// The adapter to spdlog: level, time and text of each record.
#include "leasepool/spdlog.hpp"

#include <spdlog/sinks/ostream_sink.h>

#include <memory>
#include <sstream>

#include "catch.hpp"

using namespace leasepool;

TEST_CASE("records reach a spdlog logger with their level, time and origin", "[spdlog]") {
  std::ostringstream out;
  auto logger = std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
  logger->set_level(spdlog::level::debug);
  logger->set_pattern("%E %l %v");
  const LogSink sink = spdlog_sink(logger);
  const std::chrono::system_clock::time_point time{std::chrono::seconds(1000)};
  sink({.time = time, .level = LogLevel::warning, .text = "{} is text"});
  sink({.time = time,
        .level = LogLevel::debug,
        .source = LogSource::log,
        .text = "said {}",
        .pool = "pool-1",
        .pid = 7,
        .owner = "me",
        .function = "f"});
  CHECK(out.str() == "1000 warning {} is text\n1000 debug pool-1[7] me f: said {}\n");
}
