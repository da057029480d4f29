// Beast reads the header, and refuses what is larger than it may be. Of targets and hosts only what is asked for here
// is understood.
#include "stats/http_request.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <optional>
#include <utility>

#include "base/check.hpp"

namespace leasepool::detail {

namespace http = boost::beast::http;

struct HttpRequestReader::Parser {
  Parser() { renew(); }
  void renew() {
    one.emplace();
    one->header_limit(kMaxHeader);
    one->body_limit(0);
    one->eager(true);
  }
  std::optional<http::request_parser<http::empty_body>> one;
};

HttpRequestReader::HttpRequestReader() : parser_(std::make_unique<Parser>()) {}
HttpRequestReader::~HttpRequestReader() = default;

HttpRequestReader::State HttpRequestReader::add(std::span<const std::byte> bytes) {
  if (status_ != 0) return State::is_broken;
  left_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  while (!left_.empty() && !parser_->one->is_done()) {
    boost::beast::error_code error;
    const std::size_t parsed = parser_->one->put(boost::asio::buffer(left_), error);
    left_.erase(0, parsed);
    if (!error) continue;
    if (error == http::error::need_more) break;
    const bool too_large = error == http::error::header_limit || error == http::error::buffer_overflow;
    const bool has_body = error == http::error::body_limit || error == http::error::unexpected_body;
    status_ = has_body ? 413 : too_large ? 431 : 400;
    return State::is_broken;
  }
  // A header's line that never ends is kept here whole, and not in the parser, whose limit does not see it.
  if (!parser_->one->is_done() && left_.size() > kMaxHeader) {
    status_ = 431;
    return State::is_broken;
  }
  return parser_->one->is_done() ? State::has_request : State::wants_more;
}

HttpRequest HttpRequestReader::take() {
  check(parser_->one->is_done(), "a request is taken when it has come");
  const auto& message = parser_->one->get();
  HttpRequest request{.method = std::string(message.method_string()),
                      .target = std::string(message.target()),
                      .host = host_without_port(std::string_view(message[http::field::host])),
                      .keeps_alive = message.keep_alive()};
  parser_->renew();
  return request;
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
