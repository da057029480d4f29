// Reading lists of servers.
#include "nats/server_list.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <stdexcept>

#include "nats/trimmed.hpp"

namespace leasepool::detail::nats {

namespace {

constexpr std::size_t kMaxHost = 253;  // of DNS

[[noreturn]] void refuse_entry(std::string_view entry, std::string_view why) {
  throw std::invalid_argument("leasepool: RemoteOptions::servers: \"" + std::string(entry) + "\" " + std::string(why));
}

std::uint16_t parse_port(std::string_view entry, std::string_view digits) {
  unsigned port = 0;
  const char* const begin = digits.data();
  const char* const end = begin + digits.size();
  const auto [stopped, error] = std::from_chars(begin, end, port);
  if (error != std::errc() || stopped != end || port == 0 || port > 65535) {
    refuse_entry(entry, "has a port that is not 1 to 65535");
  }
  return static_cast<std::uint16_t>(port);
}

bool is_host(std::string_view host, bool in_brackets) {
  if (host.empty() || host.size() > kMaxHost) return false;
  return std::ranges::all_of(host, [in_brackets](char c) {
    const bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return alphanumeric || c == '.' || c == '-' || c == '_' || (in_brackets && (c == ':' || c == '%'));
  });
}

Server parse_server(std::string_view entry) {
  Server server;
  std::string_view rest = entry;
  if (const std::size_t scheme = rest.find("://"); scheme != std::string_view::npos) {
    server.tls = rest.substr(0, scheme) == "tls";
    if (!server.tls && rest.substr(0, scheme) != "nats") refuse_entry(entry, "must begin with nats:// or tls://");
    rest.remove_prefix(scheme + 3);
  }
  // Not repeated in the message: it may be a secret.
  if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) {
    refuse_entry("..." + std::string(rest.substr(at)),
                 "must not have a user or a password: these are RemoteOptions::user and, in a file, credentials_file");
  }
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const bool in_brackets = rest.starts_with('[');
  const std::size_t end = in_brackets ? rest.find(']') : std::min(rest.find(':'), rest.size());
  if (end == std::string_view::npos) refuse_entry(entry, "has a bracket that does not close");
  server.host = rest.substr(in_brackets ? 1 : 0, end - (in_brackets ? 1 : 0));
  if (!is_host(server.host, in_brackets)) {
    refuse_entry(entry, "has no host name or address (an IPv6 address stands in brackets)");
  }
  rest.remove_prefix(end + (in_brackets ? 1 : 0));
  if (rest.starts_with(':')) {
    server.port = parse_port(entry, rest.substr(1));
  } else if (!rest.empty()) {
    refuse_entry(entry, "must end with a host or a port");
  }
  return server;
}

}  // namespace

std::string Server::text() const {
  const bool is_v6 = host.find(':') != std::string::npos;
  return (tls ? "tls://" : "nats://") + (is_v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::vector<Server> parse_servers(std::string_view list) {
  if (trimmed(list).empty()) {
    throw std::invalid_argument("leasepool: RemoteOptions::servers is empty: name a NATS server, as nats://host:4222");
  }
  std::vector<Server> servers;
  for (bool more = true; more;) {
    const std::size_t comma = list.find(',');
    more = comma != std::string_view::npos;
    servers.push_back(parse_server(trimmed(list.substr(0, comma))));
    if (more) list.remove_prefix(comma + 1);
  }
  return servers;
}

}  // namespace leasepool::detail::nats
