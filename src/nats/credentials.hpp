// Credentials: how a client shows a server who it is. Secrets come from a file, so that no command line has them.
#pragma once

#include <string>
#include <string_view>

#include "leasepool/error.hpp"
#include "nats/protocol.hpp"

namespace leasepool::detail::nats {

// What a file says:
//
//   a .creds file (a JWT and the seed of a key)   both; the server's nonce is signed
//   the seed of a user's nkey, SU...              the public key; the nonce is signed
//   anything else, one line                       the password of `user`; where that is empty, a token
class Credentials {
 public:
  // Without a file: of a user without a password, or of nobody.
  [[nodiscard]] static Result<Credentials> read(const std::string& user, const std::string& file);
  // The same of a file's text; `file` is for messages.
  [[nodiscard]] static Result<Credentials> parse(const std::string& user, std::string_view text,
                                                 const std::string& file);

  // Adds them to what this client says of itself. Fails where a key cannot sign.
  [[nodiscard]] Result<void> add_to(Greeting& greeting, std::string_view nonce) const;

 private:
  std::string user_;
  std::string password_;
  std::string token_;
  std::string jwt_;
  std::string seed_;  // the 32 bytes of a key; empty: there is none
};

}  // namespace leasepool::detail::nats
