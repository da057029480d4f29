// Numbers and strings as each format has them.
#include "lease/stats_format.hpp"

#include "base/check.hpp"
#include "base/in_words.hpp"
#include "base/printable.hpp"

namespace leasepool::stats_format {

std::string seconds(Duration duration) {
  constexpr std::uint64_t kPerSecond = 1'000'000'000;
  const std::int64_t count = duration.count();
  const std::uint64_t size = count < 0 ? -static_cast<std::uint64_t>(count) : static_cast<std::uint64_t>(count);
  std::string text = (count < 0 ? "-" : "") + std::to_string(size / kPerSecond);
  if (size % kPerSecond == 0) return text;
  std::string fraction = std::to_string(kPerSecond + size % kPerSecond);  // the leading 1 keeps its zeros
  fraction.erase(fraction.find_last_not_of('0') + 1);
  fraction[0] = '.';
  return text + fraction;
}

std::string line(std::string_view label, const std::string& value) {
  std::string text = "  " + std::string(label);
  text.resize(18, ' ');
  return text + value + "\n";
}

std::string in_short(const DurationSummary& summary) {
  if (summary.count == 0) return "none yet";
  return "p50 " + detail::in_words(summary.p50) + ", p99 " + detail::in_words(summary.p99) + ", max " +
         detail::in_words(summary.max) + " (" + std::to_string(summary.count) + ")";
}

std::string json_string(std::string_view text) {
  std::string json;
  detail::append_json_string(json, text);
  return json;
}

std::string json_of(const DurationSummary& summary) {
  return JsonObject()
      .add("count", summary.count)
      .add("p50", summary.p50)
      .add("p99", summary.p99)
      .add("max", summary.max)
      .add("sum", summary.sum)
      .raw("buckets", json_array(summary.buckets,
                                 [](const DurationBucket& bucket) {
                                   return JsonObject().add("below", bucket.below).add("count", bucket.count).text();
                                 }))
      .text();
}

std::string label(std::string_view name, std::string_view value) {
  std::string text(name);
  text += "=\"";
  for (const char c : value) {  // label values escape these three
    if (c == '\n') {
      text += "\\n";
    } else {
      if (c == '"' || c == '\\') text += '\\';
      text += c;
    }
  }
  return text + "\"";
}

void Exposition::metric(const std::string& name, std::string_view type, std::string_view help) {
  const auto [place, is_new] = places_.try_emplace(name, metrics_.size());
  current_ = place->second;
  if (!is_new) return;
  const std::string full = "leasepool_" + name;
  metrics_.push_back(
      {.name = name,
       .text = "# HELP " + full + " " + std::string(help) + "\n# TYPE " + full + " " + std::string(type) + "\n"});
}

void Exposition::sample(std::string_view name, const std::string& value, std::string_view label) {
  detail::check(current_ < metrics_.size() && name.starts_with(metrics_[current_].name),
                "a sample is of the metric before it");
  std::string& text = metrics_[current_].text;
  text.append("leasepool_").append(name).append("{").append(labels_);
  if (!label.empty()) text.append(",").append(label);
  text.append("} ").append(value).append("\n");
}

void Exposition::durations(const std::string& name, const DurationSummary& value, std::string_view help) {
  constexpr int kFirstPower = 10;
  constexpr int kLastPower = 36;
  metric(name, "histogram", help);
  std::uint64_t within = 0;
  auto bucket = value.buckets.begin();
  for (int power = kFirstPower; power <= kLastPower; ++power) {
    const Duration bound(std::int64_t{1} << power);
    for (; bucket != value.buckets.end() && bucket->below <= bound; ++bucket) within += bucket->count;
    sample(name + "_bucket", std::to_string(within), "le=\"" + seconds(bound) + "\"");
  }
  sample(name + "_bucket", std::to_string(value.count), "le=\"+Inf\"");
  sample(name + "_sum", seconds(value.sum));
  sample(name + "_count", std::to_string(value.count));
}

std::string Exposition::text() const {
  std::string text;
  for (const Metric& metric : metrics_) text += metric.text;
  return text;
}

}  // namespace leasepool::stats_format
