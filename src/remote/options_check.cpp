// What RemoteOptions may be, for managers and nodes.
#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "base/in_words.hpp"
#include "lease/options_check.hpp"
#include "lease/text.hpp"
#include "nats/server_list.hpp"
#include "nats/subject.hpp"
#include "pool/pool.hpp"

namespace leasepool::detail {

namespace {

constexpr std::size_t kMaxToken = 64;
constexpr std::size_t kMaxUser = 256;
constexpr std::size_t kLeastWindow = std::size_t{64} << 10;
constexpr std::size_t kMostWindow = std::size_t{32} << 20;

// A token of subjects: the server's permissions name it.
void check_token(std::string_view field, std::string_view value) {
  if (value.size() <= kMaxToken && value.find('.') == std::string_view::npos &&
      value.find_first_of("*>") == std::string_view::npos && nats::is_subject(value)) {
    return;
  }
  throw std::invalid_argument("leasepool: RemoteOptions::" + std::string(field) + " = " + in_quotes(value) +
                              " must be 1 to 64 visible ASCII characters without a dot, an asterisk or a "
                              "greater-than sign");
}

// A path goes to C libraries, which stop at a zero byte.
void check_path(std::string_view field, const std::string& path) {
  if (path.find('\0') == std::string::npos) return;
  throw std::invalid_argument("leasepool: RemoteOptions::" + std::string(field) + " = " + in_quotes(path) +
                              " has a zero byte in it; name a file");
}

void check_identity(const RemoteOptions& options) {
  for (const auto& [field, path] :
       {std::pair("credentials_file", &options.credentials_file), std::pair("ca_file", &options.ca_file),
        std::pair("cert_file", &options.cert_file), std::pair("key_file", &options.key_file)}) {
    check_path(field, *path);
  }
  if (options.user.size() > kMaxUser) {
    throw std::invalid_argument("leasepool: RemoteOptions::user = " + in_quotes(options.user) +
                                " must be at most 256 bytes");
  }
  if (!options.user.empty() && options.credentials_file.empty()) {
    throw std::invalid_argument("leasepool: RemoteOptions::user = " + in_quotes(options.user) +
                                " needs credentials_file: name the file that has the password");
  }
  if (options.cert_file.empty() == options.key_file.empty()) return;
  const bool has_cert = options.key_file.empty();
  throw std::invalid_argument("leasepool: RemoteOptions::" + std::string(has_cert ? "cert_file" : "key_file") + " = " +
                              in_quotes(has_cert ? options.cert_file : options.key_file) + " needs " +
                              (has_cert ? "key_file" : "cert_file") + ", too: give both or none");
}

void check_less(std::string_view field, Duration value, Duration most, bool may_be_equal) {
  if (value < most || (may_be_equal && value == most)) return;
  throw std::invalid_argument("leasepool: RemoteOptions::" + std::string(field) + " = " + in_words(value) +
                              (may_be_equal ? " must be at most" : " must be less than") +
                              " node_timeout = " + in_words(most));
}

void check_times(const RemoteOptions& options) {
  check_positive("RemoteOptions::node_timeout", options.node_timeout);
  check_positive("RemoteOptions::reconnect_grace", options.reconnect_grace);
  if (options.heartbeat < std::chrono::milliseconds(1)) {
    throw std::invalid_argument("leasepool: RemoteOptions::heartbeat = " + in_words(options.heartbeat) +
                                " must be at least 1 ms: each is a message");
  }
  check_less("heartbeat", options.heartbeat, options.node_timeout, false);
  check_less("reconnect_grace", options.reconnect_grace, options.node_timeout, true);
}

}  // namespace

void check_remote_options(const RemoteOptions& options) {
  (void)nats::parse_servers(options.servers);
  check_token("cluster", options.cluster);
  check_token("pool", options.pool);
  check_identity(options);
  check_times(options);
  check_range("RemoteOptions::window", options.window, kLeastWindow, kMostWindow);
  if (options.match == RemoteMatch::signatures || options.match == RemoteMatch::build) return;
  throw std::invalid_argument("leasepool: RemoteOptions::match = " + std::to_string(std::to_underlying(options.match)) +
                              " must be signatures or build");
}

}  // namespace leasepool::detail
