// Reading credentials, and saying them.
#include "nats/credentials.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <new>
#include <optional>
#include <utility>

#include "base/unique_fd.hpp"
#include "io/io_checks.hpp"
#include "nats/nkey.hpp"
#include "nats/trimmed.hpp"

namespace leasepool::detail::nats {

namespace {

constexpr std::size_t kMaxFile = std::size_t{64} << 10;
// The option and its value. Appended: GCC 14 warns of bounds where a string of a known length is moved into a sum.
std::string named(std::string_view file) {
  std::string text;
  return text.append("RemoteOptions::credentials_file = \"").append(file).append("\"");
}

std::unexpected<Error> refuse_file(const std::string& file, std::string_view why) {
  return failure(Errc::pool_broken, "leasepool: " + named(file) + " " + std::string(why));
}

// Not waiting for anything: what is no plain file has nothing to say.
Result<std::string> read_file(const std::string& file) {
  const auto failed = [&] { return std::unexpected(failed_call(errno, "leasepool: read " + named(file))); };
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return failed();
  std::string text;
  std::array<char, 4096> part{};
  for (;;) {
    const ssize_t count = ::read(fd.get(), part.data(), part.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failed();
    if (count == 0) return text;
    text.append(part.data(), static_cast<std::size_t>(count));
    if (text.size() > kMaxFile) return refuse_file(file, "has more than 64 KiB");
  }
}

// What stands between two lines of dashes, of which the first has this title.
std::optional<std::string_view> section(std::string_view text, std::string_view title) {
  const std::size_t begin = text.find("-----BEGIN " + std::string(title) + "-----");
  if (begin == std::string_view::npos) return std::nullopt;
  text.remove_prefix(begin);
  text.remove_prefix(std::min(text.find('\n'), text.size()));
  return trimmed(text.substr(0, text.find("\n-----")));
}

}  // namespace

Result<Credentials> Credentials::read(const std::string& user, const std::string& file) {
  try {
    if (!file.empty()) {
      const Result<std::string> text = read_file(file);
      return text ? parse(user, *text, file) : std::unexpected(text.error());
    }
    Credentials credentials;
    credentials.user_ = user;
    return credentials;
  } catch (const std::bad_alloc&) {
    return std::unexpected(Error::out_of_memory());
  }
}

Result<Credentials> Credentials::parse(const std::string& user, std::string_view text, const std::string& file) {
  Credentials credentials;
  const auto jwt = section(text, "NATS USER JWT");
  const auto seed_section = section(text, "USER NKEY SEED");
  const std::string_view line = trimmed(text);
  if (jwt && !seed_section) return refuse_file(file, "has a JWT, but no seed of a key to sign with");
  const bool has_seed = seed_section || (line.starts_with("SU") && decode_user_seed(line));
  if (has_seed) {
    auto seed = decode_user_seed(seed_section.value_or(line));
    if (!seed) return refuse_file(file, "has a seed that is none of a user's nkey (SU...), or is mistyped");
    credentials.jwt_ = jwt.value_or(std::string_view());
    credentials.seed_ = *std::move(seed);
    return credentials;
  }
  if (line.empty()) return refuse_file(file, "is empty");
  if (line.find_first_of("\r\n") != std::string_view::npos) {
    return refuse_file(file, "must be a .creds file, a user's nkey seed, or one line with a password or a token");
  }
  credentials.user_ = user;
  (user.empty() ? credentials.token_ : credentials.password_) = line;
  return credentials;
}

Result<void> Credentials::add_to(Greeting& greeting, std::string_view nonce) const {
  greeting.user = user_;
  greeting.password = password_;
  greeting.token = token_;
  if (seed_.empty()) return {};
  if (nonce.empty())
    return failure(Errc::pool_broken, "it has no users with keys, as RemoteOptions::credentials_file is");
  auto signed_nonce = sign_nonce(seed_, nonce);
  if (!signed_nonce) return failure(Errc::unsupported, "OpenSSL does not sign with Ed25519 here");
  greeting.signature = std::move(signed_nonce->signature);
  greeting.jwt = jwt_;
  if (jwt_.empty()) greeting.nkey = std::move(signed_nonce->public_key);
  return {};
}

}  // namespace leasepool::detail::nats
