// HTTP over Unix sockets, all of them asked at once.
#include "client.hpp"

#include <leasepool/leasepool.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

namespace lptop {

namespace {

namespace lp = leasepool;

// PID.sock and PID-N.sock; others are no sockets of ours.
std::optional<std::pair<int, int>> numbers_of(const std::string& name) {
  int pid = 0;
  int number = 1;
  const char* const end = name.data() + name.size();
  auto [rest, error] = std::from_chars(name.data(), end, pid);
  if (error != std::errc()) return std::nullopt;
  if (rest != end && *rest == '-') {
    const auto second = std::from_chars(rest + 1, end, number);
    if (second.ec != std::errc()) return std::nullopt;
    rest = second.ptr;
  }
  if (std::string_view(rest, static_cast<std::size_t>(end - rest)) != ".sock") return std::nullopt;
  return std::pair(pid, number);
}

lp::Task<std::string> fetch(lp::Loop& loop, std::string path, lp::IoOptions in_time) {
  auto connecting = lp::connect(loop, lp::UnixEndpoint{.path = path}, in_time);
  lp::Stream stream = co_await connecting;
  constexpr std::string_view kRequest = "GET /stats.json HTTP/1.0\r\n\r\n";
  auto writing = stream.write(kRequest, in_time);
  co_await writing;
  std::string answer;
  std::array<std::byte, 65536> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): read into
  for (;;) {
    auto reading = stream.read(buffer, in_time);
    const std::size_t size = co_await reading;
    if (size == 0) co_return answer;
    answer.append(reinterpret_cast<const char*>(buffer.data()), size);
  }
}

nlohmann::json parse(const std::string& answer, const std::string& path) {
  const std::size_t header = answer.find("\r\n\r\n");
  if (header == std::string::npos || answer.find(" 200 ") > answer.find("\r\n")) {
    throw std::runtime_error(path + ": what answers there is no server of leasepool's stats: " + answer.substr(0, 60));
  }
  auto report = nlohmann::json::parse(answer.substr(header + 4), nullptr, false);
  if (!report.is_object() || report.value("format", 0) != 1) {
    throw std::runtime_error(path +
                             ": the stats there are of a form that this lptop does not know: use the lptop of the "
                             "program's version of leasepool");
  }
  return report;
}

// Nothing where nobody serves it any more.
lp::Task<std::optional<nlohmann::json>> ask_one(lp::Loop& loop, std::string path, lp::IoOptions in_time) {
  try {
    auto fetching = fetch(loop, path, in_time);
    const std::string answer = co_await fetching;
    co_return parse(answer, path);
  } catch (const lp::IoError& error) {
    const bool is_gone = error.code() == std::errc::connection_refused ||
                         error.code() == std::errc::no_such_file_or_directory ||
                         error.code() == std::errc::connection_reset;
    if (!is_gone) throw std::runtime_error(path + ": " + error.what());
  } catch (const lp::LeasePoolError& error) {
    throw std::runtime_error(path + ": " + error.what());
  }
  co_return std::nullopt;
}

}  // namespace

std::vector<Source> find_sources(int pid) {
  const std::filesystem::path directory = std::filesystem::path(lp::stats_socket_path(1)).parent_path();
  std::vector<std::pair<std::pair<int, int>, Source>> found;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(directory, none)) {
    const auto numbers = numbers_of(entry.path().filename().string());
    if (numbers && (pid == 0 || numbers->first == pid)) found.push_back({*numbers, {.path = entry.path().string()}});
  }
  std::ranges::sort(found, {}, &std::pair<std::pair<int, int>, Source>::first);
  std::vector<Source> sources;
  for (auto& [numbers, source] : found) sources.push_back(std::move(source));
  return sources;
}

std::vector<nlohmann::json> ask(const std::vector<Source>& sources, leasepool::Duration patience) {
  lp::Loop loop;
  std::vector<lp::Task<std::optional<nlohmann::json>>> asked;
  for (const Source& source : sources) asked.push_back(ask_one(loop, source.path, {.timeout = patience}));
  auto answers = loop.block_on([](auto all) -> lp::Task<std::vector<std::optional<nlohmann::json>>> {
    auto together = lp::when_all(std::move(all));
    co_return co_await together;
  }(std::move(asked)));
  std::vector<nlohmann::json> reports;
  for (auto& answer : answers) {
    if (answer) reports.push_back(std::move(*answer));
  }
  return reports;
}

}  // namespace lptop
