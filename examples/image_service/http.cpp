// Boost.Beast parses, and neither reads nor writes: the loop does.
#include "http.hpp"

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <algorithm>
#include <array>
#include <span>

namespace {

namespace http = boost::beast::http;
using std::chrono::steady_clock;

constexpr std::uint32_t kLongestHead = 8192;  // bytes
constexpr std::size_t kReadAtOnce = 65536;
constexpr auto kTimeToEnd = std::chrono::seconds(2);

HttpError error_of(const boost::beast::error_code& failure) {
  if (failure == http::error::body_limit) return {413, "The body is larger than this server takes."};
  if (failure == http::error::header_limit) return {431, "The header is larger than this server takes."};
  return {400, "The request is no HTTP/1.1: " + failure.message() + "."};
}

std::string head_of(const Response& response) {
  std::string head = "HTTP/1.1 " + std::to_string(response.status) + ' ';
  head += std::string(http::obsolete_reason(http::int_to_status(static_cast<unsigned>(response.status))));
  head += "\r\nContent-Type: " + response.type + "\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n";
  for (const auto& [name, value] : response.headers) head.append(name).append(": ").append(value).append("\r\n");
  return head;
}

}  // namespace

HttpConnection::HttpConnection(leasepool::Stream stream, HttpLimits limits)
    : stream_(std::move(stream)), limits_(limits), buffer_(kReadAtOnce) {}

leasepool::Task<std::optional<Request>> HttpConnection::read() {
  http::request_parser<http::string_body> parser;
  parser.header_limit(kLongestHead);
  parser.body_limit(limits_.body_bytes);
  parser.eager(true);  // the body, too
  const auto until = steady_clock::now() + limits_.time;
  bool asked_to_go_on = false;

  bool begun = !unread_.empty();
  for (;;) {
    if (!unread_.empty()) {
      boost::beast::error_code failure;
      unread_.erase(0, parser.put(boost::asio::buffer(unread_), failure));
      if (failure && failure != http::error::need_more) throw error_of(failure);
      if (parser.is_done()) break;
    }
    if (parser.is_header_done() && !asked_to_go_on && parser.get()[http::field::expect] == "100-continue") {
      asked_to_go_on = true;
      auto writing = write_more("HTTP/1.1 100 Continue\r\n\r\n");
      co_await writing;
    }
    auto reading = read_some(until);
    const std::size_t size = co_await reading;
    if (size == 0 && !begun) co_return std::nullopt;
    if (size == 0) throw HttpError(408, "The request did not come in time, or was cut short.");
    begun = true;
  }
  auto& message = parser.get();
  std::optional<Request> request(std::in_place);
  request->method = std::string(message.method_string());
  request->target = std::string(message.target());
  request->body = std::move(message.body());
  request->keep_alive = message.keep_alive();
  co_return request;
}

// 0: there is no more, or the time is over.
leasepool::Task<std::size_t> HttpConnection::read_some(steady_clock::time_point until) {
  const auto left = until - steady_clock::now();
  if (left <= steady_clock::duration::zero()) co_return 0;
  std::size_t size = 0;
  try {
    auto reading = stream_.read(buffer_, {.timeout = left});
    size = co_await reading;
  } catch (const leasepool::LeasePoolError& error) {
    if (error.code() != leasepool::Errc::timed_out) throw;
  }
  unread_.append(reinterpret_cast<const char*>(buffer_.data()), size);
  co_return size;
}

leasepool::Task<> HttpConnection::write(Response response, bool keep_alive) {
  const std::string head = head_of(response) + "Content-Length: " + std::to_string(response.body.size()) +
                           (keep_alive ? "\r\n\r\n" : "\r\nConnection: close\r\n\r\n");
  const std::array<std::span<const std::byte>, 2> parts{std::as_bytes(std::span(head)),
                                                        std::as_bytes(std::span(response.body))};
  auto writing = stream_.write(parts, {.timeout = limits_.time});
  co_await writing;
}

leasepool::Task<> HttpConnection::write_head(Response response) {
  auto writing = write_more(head_of(response) + "Connection: close\r\n\r\n");
  co_await writing;
}

leasepool::Task<> HttpConnection::write_more(std::string text) {
  auto writing = stream_.write(text, {.timeout = limits_.time});
  co_await writing;
}

leasepool::Task<> HttpConnection::end() {
  stream_.shutdown_write();
  const auto until = steady_clock::now() + kTimeToEnd;
  for (;;) {
    unread_.clear();
    auto reading = read_some(until);
    const std::size_t size = co_await reading;
    if (size == 0) co_return;
  }
}
