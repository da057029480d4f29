// TLS by OpenSSL, through memory alone: bytes in, bytes out, so that a loop can carry them.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "leasepool/error.hpp"

namespace leasepool::detail::nats {

struct TlsFiles {
  std::string ca{};    // whom to trust; empty: the system's
  std::string cert{};  // of this client, with `key`; empty: it has none
  std::string key{};
};

// A client's end of one connection. One thread. Whatever fails ends it.
class TlsSession {
 public:
  // Reads the files. The server's certificate must be of `host`, a name or an address. The errors name the file.
  [[nodiscard]] static Result<std::unique_ptr<TlsSession>> make(const TlsFiles& files, const std::string& host);

  // What came from the server. Throws std::bad_alloc.
  void feed(std::string_view received);
  // What is to be sent to it now; appends. Throws std::bad_alloc.
  void take_output(std::string& out);

  // Goes on with the handshake; true when it is done.
  [[nodiscard]] Result<bool> shake_hands();

  // Decrypts; 0 when more must come first. Fails with end_of_stream when the server has closed.
  [[nodiscard]] Result<std::size_t> read(std::span<char> into);
  // Encrypts all of it.
  [[nodiscard]] Result<void> write(std::string_view plain);

 private:
  struct FreeSsl {
    void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
  };

  TlsSession(SSL* ssl, std::string host) noexcept : ssl_(ssl), host_(std::move(host)) {}
  [[nodiscard]] Error failed(const char* step) const;

  std::unique_ptr<SSL, FreeSsl> ssl_;
  const std::string host_;
};

}  // namespace leasepool::detail::nats
