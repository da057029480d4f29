// An adapter to spdlog (https://github.com/gabime/spdlog), for programs that log with it. Not included by
// leasepool.hpp; needs spdlog's headers.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <spdlog/logger.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "leasepool/log.hpp"

namespace leasepool {

/// A log sink that hands every record to the logger, at the record's level and with its time, as
/// "pool[pid] owner function: text"; the library's own records as their text alone.
inline LogSink spdlog_sink(std::shared_ptr<spdlog::logger> logger) {
  return [logger = std::move(logger)](const LogRecord& record) {
    constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
                                                     spdlog::level::err};
    const spdlog::level::level_enum level = kLevels[static_cast<int>(record.level)];
    const auto text = [&](std::string_view part) { return spdlog::string_view_t(part.data(), part.size()); };
    if (record.source == LogSource::manager) return logger->log(record.time, {}, level, text(record.text));
    std::string line(record.pool);
    line.append("[").append(std::to_string(record.pid)).append("] ").append(record.owner).append(" ");
    logger->log(record.time, {}, level, text(line.append(record.function).append(": ").append(record.text)));
  };
}

}  // namespace leasepool

#endif
