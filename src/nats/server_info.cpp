// A reader of one JSON object (RFC 8259), which passes over what it does not know.
#include "nats/server_info.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "nats/protocol.hpp"

namespace leasepool::detail::nats {

namespace {

constexpr int kMaxDepth = 16;

class Reader {
 public:
  explicit Reader(std::string_view json) noexcept : rest_(json) {}

  // Each member's key, with the reader before its value, which `take` reads or passes over. Like all that follow, false
  // where the text is no JSON.
  template <class Take>
  bool object(Take take) {
    if (!accept('{')) return false;
    if (accept('}')) return true;
    do {
      std::string key;
      if (!string(&key) || !accept(':') || !take(key)) return false;
    } while (accept(','));
    return accept('}');
  }

  // Of another type than asked for: false, too.
  bool string(std::string* into) {
    if (!accept('"')) return false;
    while (!rest_.empty()) {
      const char c = next();
      if (c == '"') return true;
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c != '\\') {
        if (into != nullptr) *into += c;
      } else if (!escape(into)) {
        return false;
      }
    }
    return false;
  }
  bool boolean(bool& into) noexcept {
    into = word("true");
    return into || word("false");
  }
  bool size(std::size_t& into) noexcept {
    skip_space();
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), into);
    if (error != std::errc()) return false;
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return rest_.empty() || std::string_view(".eE").find(rest_.front()) == std::string_view::npos;
  }
  bool pass_over(int depth = 0) {
    if (depth > kMaxDepth) return false;
    skip_space();
    if (rest_.empty()) return false;
    switch (rest_.front()) {
      case '"': return string(nullptr);
      case '{': return object([this, depth](const std::string& /*key*/) { return pass_over(depth + 1); });
      case '[': return array(depth);
      default: return word("true") || word("false") || word("null") || number();
    }
  }
  bool at_end() noexcept {
    skip_space();
    return rest_.empty();
  }

 private:
  char next() noexcept {
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return c;
  }
  void skip_space() noexcept { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size())); }
  bool accept(char c) noexcept {
    skip_space();
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool word(std::string_view text) noexcept {
    skip_space();
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  bool number() noexcept {
    const std::size_t size = std::min(rest_.find_first_not_of("+-.0123456789eE"), rest_.size());
    rest_.remove_prefix(size);
    return size != 0;
  }
  bool array(int depth) {
    if (!accept('[')) return false;
    if (accept(']')) return true;
    do {
      if (!pass_over(depth + 1)) return false;
    } while (accept(','));
    return accept(']');
  }
  // What needs more than ASCII stands for itself in a message alone, where a question mark does.
  bool escape(std::string* into) {
    if (rest_.empty()) return false;
    char meant = next();
    if (meant == 'u') {
      std::uint32_t code = 0;
      if (rest_.size() < 4) return false;
      const char* const begin = rest_.data();
      const auto [end, error] = std::from_chars(begin, begin + 4, code, 16);
      if (error != std::errc() || end != begin + 4) return false;
      rest_.remove_prefix(4);
      meant = code < 0x80 ? static_cast<char>(code) : '?';
    } else {
      constexpr std::string_view kWritten = "\"\\/bfnrt";
      const std::size_t which = kWritten.find(meant);
      if (which == std::string_view::npos) return false;
      meant = "\"\\/\b\f\n\r\t"[which];
    }
    if (into != nullptr) *into += meant;
    return true;
  }

  std::string_view rest_;
};

}  // namespace

std::optional<ServerInfo> parse_server_info(std::string_view json) {
  ServerInfo info;
  Reader reader(json);
  const bool read = reader.object([&](const std::string& key) {
    if (key == "version") return reader.string(&info.version);
    if (key == "nonce") return reader.string(&info.nonce);
    if (key == "max_payload") return reader.size(info.max_payload);
    if (key == "headers") return reader.boolean(info.headers);
    if (key == "tls_required") return reader.boolean(info.tls_required);
    if (key == "tls_available") return reader.boolean(info.tls_available);
    return reader.pass_over();
  });
  if (!read || !reader.at_end()) return std::nullopt;
  info.max_payload = std::min(info.max_payload, kMaxPayload);
  return info;
}

}  // namespace leasepool::detail::nats
