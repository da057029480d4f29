// The grammar of a request's header. What the standard lets a server refuse is refused.
#include "stats/http_request.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.hpp"

namespace leasepool::detail {

namespace {

constexpr unsigned kBadRequest = 400;
constexpr unsigned kContentTooLarge = 413;
constexpr unsigned kHeaderTooLarge = 431;
constexpr std::string_view kLineEnd = "\r\n";

// Of the letters that a method and a field's name are made of.
bool is_token(std::string_view text) noexcept {
  constexpr std::string_view kLetters = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  return !text.empty() && text.find_first_not_of(kLetters) == std::string_view::npos;
}

bool is_printable(char letter) noexcept { return letter > 0x20 && letter != 0x7f; }
bool may_be_in_value(char letter) noexcept {
  return letter == '\t' || (static_cast<unsigned char>(letter) >= 0x20 && letter != 0x7f);
}

bool equal_ignoring_case(std::string_view left, std::string_view right) noexcept {
  const auto lower = [](char letter) {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + 32) : letter;
  };
  return std::ranges::equal(left, right, {}, lower, lower);
}

std::string_view trimmed(std::string_view text) noexcept {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// Up to the separator, which is taken away with it; all where there is none.
std::string_view take_until(std::string_view& text, std::string_view separator) noexcept {
  const std::size_t end = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(end + separator.size(), text.size()));
  return part;
}

bool names(std::string_view list, std::string_view option) noexcept {
  while (!list.empty()) {
    if (equal_ignoring_case(trimmed(take_until(list, ",")), option)) return true;
  }
  return false;
}

}  // namespace

HttpRequestReader::State HttpRequestReader::add(std::span<const std::byte> bytes) {
  if (status_ != 0) return State::is_broken;
  left_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (has_request_) return State::has_request;
  while (left_.starts_with(kLineEnd)) left_.erase(0, kLineEnd.size());  // some send one behind a request
  const std::size_t end = left_.find("\r\n\r\n");
  if (std::min(end, left_.size()) > kMaxHeader) {
    status_ = kHeaderTooLarge;
  } else if (end == std::string::npos) {
    return State::wants_more;
  } else {
    status_ = parse(std::string_view(left_).substr(0, end + kLineEnd.size()));
    left_.erase(0, end + 2 * kLineEnd.size());
  }
  has_request_ = status_ == 0;
  return has_request_ ? State::has_request : State::is_broken;
}

// 0, or the status with which it is refused.
unsigned HttpRequestReader::parse(std::string_view header) {
  std::string_view line = take_until(header, kLineEnd);
  const std::string_view method = take_until(line, " ");
  const std::string_view target = take_until(line, " ");
  const bool is_newer = line == "HTTP/1.1";
  if (!is_token(method) || target.empty() || !std::ranges::all_of(target, is_printable)) return kBadRequest;
  if (!is_newer && line != "HTTP/1.0") return kBadRequest;
  std::optional<std::string_view> host;
  bool has_body = false;
  bool keeps_alive = is_newer;
  while (!header.empty()) {
    line = take_until(header, kLineEnd);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) return kBadRequest;
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (!std::ranges::all_of(value, may_be_in_value)) return kBadRequest;
    if (equal_ignoring_case(name, "Host") && std::exchange(host, value)) return kBadRequest;
    if (equal_ignoring_case(name, "Content-Length") && value != "0") has_body = true;
    if (equal_ignoring_case(name, "Transfer-Encoding")) has_body = true;
    if (equal_ignoring_case(name, "Connection"))
      keeps_alive = is_newer ? !names(value, "close") : names(value, "keep-alive");
  }
  if (has_body) return kContentTooLarge;
  if (is_newer && !host) return kBadRequest;
  request_ = {.method = std::string(method),
              .target = std::string(target),
              .host = host_without_port(host.value_or("")),
              .keeps_alive = keeps_alive};
  return 0;
}

HttpRequest HttpRequestReader::take() {
  check(has_request_, "a request is taken when it has come");
  has_request_ = false;
  return std::move(request_);
}

std::string host_without_port(std::string_view host) {
  if (host.starts_with('[')) return std::string(host.substr(1, host.find(']') - 1));
  return std::string(host.substr(0, host.find(':')));
}

bool is_address_or_localhost(const std::string& host) noexcept {
  in6_addr address{};
  return host == "localhost" || ::inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

}  // namespace leasepool::detail
