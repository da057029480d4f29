// What the texts of stats are made of: lines for people, JSON objects, and Prometheus' exposition format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "leasepool/duration.hpp"
#include "leasepool/error.hpp"
#include "leasepool/stats.hpp"

namespace leasepool::stats_format {

// Exact, without trailing zeros.
std::string seconds(Duration duration);

// For people.
std::string line(std::string_view label, const std::string& value);
std::string in_short(const DurationSummary& summary);

std::string json_string(std::string_view text);
std::string json_of(const DurationSummary& summary);

class JsonObject {
 public:
  JsonObject& raw(std::string_view key, std::string_view value) {  // keys are ours and need no escapes
    if (!text_.empty()) text_ += ',';
    text_.append("\"").append(key).append("\":").append(value);
    return *this;
  }
  JsonObject& add(std::string_view key, std::string_view value) { return raw(key, json_string(value)); }
  JsonObject& add(std::string_view key, const char* value) { return raw(key, json_string(value)); }
  JsonObject& add(std::string_view key, std::uint64_t value) { return raw(key, std::to_string(value)); }
  JsonObject& add(std::string_view key, bool value) { return raw(key, value ? "true" : "false"); }
  JsonObject& add(std::string_view key, Duration value) {
    return raw(key, value == Duration::max() ? "null" : seconds(value));
  }
  JsonObject& add(std::string_view key, const DurationSummary& value) { return raw(key, json_of(value)); }
  [[nodiscard]] std::string text() const { return "{" + text_ + "}"; }

 private:
  std::string text_;
};

template <class Items, class Format>
std::string json_array(const Items& items, Format format) {
  std::string text;
  for (const auto& item : items) {
    if (!text.empty()) text += ',';
    text += format(item);
  }
  return "[" + text + "]";
}

// One label of a sample, escaped: name="value".
std::string label(std::string_view name, std::string_view value);

// Metrics in the order in which they were named first, each with what was sampled of it under whatever labels, as the
// format wants them.
class Exposition {
 public:
  // Those of the samples that follow.
  void set_labels(std::string labels) { labels_ = std::move(labels); }
  void metric(const std::string& name, std::string_view type, std::string_view help);
  // Of the metric named last, or of a part of it.
  void sample(std::string_view name, const std::string& value, std::string_view label = {});
  void gauge(const std::string& name, std::uint64_t value, std::string_view help) {
    metric(name, "gauge", help);
    sample(name, std::to_string(value));
  }
  void counter(const std::string& name, std::uint64_t value, std::string_view help) {
    metric(name, "counter", help);
    sample(name, std::to_string(value));
  }
  void seconds_gauge(const std::string& name, Duration value, std::string_view help) {
    metric(name, "gauge", help);
    sample(name, seconds(value));
  }
  // A histogram with the same bounds always: 1 us to 69 s, in powers of two of a nanosecond.
  void durations(const std::string& name, const DurationSummary& value, std::string_view help);
  [[nodiscard]] std::string text() const;

 private:
  struct Metric {
    std::string name;
    std::string text;
  };

  std::string labels_;
  std::vector<Metric> metrics_;
  std::map<std::string, std::size_t, std::less<>> places_;
  std::size_t current_ = 0;
};

// What a manager has to say.
void add(Exposition& out, const ManagerStats& stats);

}  // namespace leasepool::stats_format
