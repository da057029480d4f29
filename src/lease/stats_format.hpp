// What the texts of stats are made of: lines for people, JSON objects, and Prometheus' exposition format.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

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
  JsonObject& add(std::string_view key, const DurationSummary& value) {
    return raw(key, JsonObject()
                        .add("count", value.count)
                        .add("p50", value.p50)
                        .add("p99", value.p99)
                        .add("max", value.max)
                        .text());
  }
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

// Metrics that all have the same labels.
class Exposition {
 public:
  explicit Exposition(std::string labels) : labels_(std::move(labels)) {}
  void metric(std::string_view name, std::string_view type, std::string_view help) {
    text_ += "# HELP leasepool_" + std::string(name) + " " + std::string(help) + "\n# TYPE leasepool_" +
             std::string(name) + " " + std::string(type) + "\n";
  }
  void sample(std::string_view name, const std::string& value, const std::string& label = {}) {
    text_ +=
        "leasepool_" + std::string(name) + "{" + labels_ + (label.empty() ? "" : "," + label) + "} " + value + "\n";
  }
  void gauge(std::string_view name, std::uint64_t value, std::string_view help) {
    metric(name, "gauge", help);
    sample(name, std::to_string(value));
  }
  void counter(std::string_view name, std::uint64_t value, std::string_view help) {
    metric(name, "counter", help);
    sample(name, std::to_string(value));
  }
  void summary(const std::string& name, const DurationSummary& value, std::string_view help) {
    metric(name, "summary", help);
    sample(name, seconds(value.p50), "quantile=\"0.5\"");
    sample(name, seconds(value.p99), "quantile=\"0.99\"");
    sample(name, seconds(value.max), "quantile=\"1\"");
    sample(name + "_count", std::to_string(value.count));
  }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  std::string labels_;
  std::string text_;
};

}  // namespace leasepool::stats_format
