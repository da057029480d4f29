// OpenSSL's ends of a session, and what its failures mean.
#include "nats/tls.hpp"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <climits>
#include <new>
#include <utility>

#include "base/check.hpp"

namespace leasepool::detail::nats {

namespace {

struct FreeContext {
  void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
};
using Context = std::unique_ptr<SSL_CTX, FreeContext>;

// The oldest error of this thread's queue is the cause; and there may be none.
std::string reason() {
  const unsigned long code = ERR_peek_error();
  const char* const text = code == 0 ? nullptr : ERR_reason_error_string(code);
  return text == nullptr ? "OpenSSL gives no reason" : text;
}

bool lacked_memory() noexcept { return ERR_GET_REASON(ERR_peek_error()) == ERR_R_MALLOC_FAILURE; }

Error error_of(const std::string& what) {
  if (lacked_memory()) return Error::out_of_memory();
  return {Errc::pool_broken, what + ": " + reason()};
}

std::string named(const char* field, const std::string& file) {
  return "RemoteOptions::" + std::string(field) + " = \"" + file + "\"";
}

// A key with a passphrase fails, instead of asking for it on the terminal.
int no_passphrase(char* /*into*/, int /*size*/, int /*writing*/, void* /*data*/) noexcept { return 0; }

Result<Context> make_context(const TlsFiles& files) {
  Context context(SSL_CTX_new(TLS_client_method()));
  if (!context) return std::unexpected(error_of("TLS cannot be set up"));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION);  // it would mix reading and writing
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_default_passwd_cb(context.get(), no_passphrase);
  if (files.ca.empty()) {
    if (SSL_CTX_set_default_verify_paths(context.get()) != 1) {
      return std::unexpected(error_of("the system's certificates cannot be read; name some in RemoteOptions::ca_file"));
    }
  } else if (SSL_CTX_load_verify_locations(context.get(), files.ca.c_str(), nullptr) != 1) {
    return std::unexpected(error_of(named("ca_file", files.ca) + " cannot be read as certificates"));
  }
  if (files.cert.empty()) return context;
  if (SSL_CTX_use_certificate_chain_file(context.get(), files.cert.c_str()) != 1) {
    return std::unexpected(error_of(named("cert_file", files.cert) + " cannot be read as a certificate"));
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return std::unexpected(
        error_of(named("key_file", files.key) + " cannot be read as the key, without a passphrase, of cert_file"));
  }
  return context;
}

// Whose certificate it must be: a name, which the server is told, too, or an address.
bool expect_host(SSL* ssl, const std::string& host) {
  if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) == 1) return true;
  ERR_clear_error();
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return SSL_set1_host(ssl, host.c_str()) == 1 &&
         SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, std::string(host).data()) == 1;
}

}  // namespace

Result<std::unique_ptr<TlsSession>> TlsSession::make(const TlsFiles& files, const std::string& host) {
  ERR_clear_error();
  const Result<Context> context = make_context(files);
  if (!context) return std::unexpected(context.error());
  SSL* const ssl = SSL_new(context->get());
  if (ssl == nullptr) return std::unexpected(error_of("TLS cannot be set up"));
  std::unique_ptr<TlsSession> session(new TlsSession(ssl, host));
  BIO* const in = BIO_new(BIO_s_mem());
  BIO* const out = BIO_new(BIO_s_mem());
  if (in == nullptr || out == nullptr) {
    BIO_free(in);
    BIO_free(out);
    return std::unexpected(error_of("TLS cannot be set up"));
  }
  SSL_set_bio(ssl, in, out);  // which owns them
  SSL_set_connect_state(ssl);
  if (!expect_host(ssl, host)) return std::unexpected(error_of("TLS cannot be set up for host \"" + host + "\""));
  return session;
}

void TlsSession::feed(std::string_view received) {
  while (!received.empty()) {
    const int size = static_cast<int>(std::min<std::size_t>(received.size(), INT_MAX));
    const int taken = BIO_write(SSL_get_rbio(ssl_.get()), received.data(), size);
    if (taken <= 0) throw std::bad_alloc();
    received.remove_prefix(static_cast<std::size_t>(taken));
  }
}

void TlsSession::take_output(std::string& out) {
  BIO* const encrypted = SSL_get_wbio(ssl_.get());
  char* bytes = nullptr;
  const long size = BIO_ctrl(encrypted, BIO_CTRL_INFO, 0, static_cast<void*>(&bytes));
  if (size <= 0) return;
  out.append(bytes, static_cast<std::size_t>(size));
  BIO_ctrl(encrypted, BIO_CTRL_RESET, 0, nullptr);
}

Result<bool> TlsSession::shake_hands() {
  ERR_clear_error();
  const int done = SSL_do_handshake(ssl_.get());
  if (done == 1) return true;
  if (SSL_get_error(ssl_.get(), done) == SSL_ERROR_WANT_READ) return false;
  return std::unexpected(failed("TLS handshake"));
}

Result<std::size_t> TlsSession::read(std::span<char> into) {
  ERR_clear_error();
  std::size_t count = 0;
  if (SSL_read_ex(ssl_.get(), into.data(), into.size(), &count) == 1) return count;
  switch (SSL_get_error(ssl_.get(), 0)) {
    case SSL_ERROR_WANT_READ: return 0;
    case SSL_ERROR_ZERO_RETURN: return failure(Errc::end_of_stream, "it has closed the connection");
    default: return std::unexpected(failed("TLS"));
  }
}

Result<void> TlsSession::write(std::string_view plain) {
  if (plain.empty()) return {};
  ERR_clear_error();
  std::size_t count = 0;
  if (SSL_write_ex(ssl_.get(), plain.data(), plain.size(), &count) != 1) return std::unexpected(failed("TLS"));
  check(count == plain.size(), "TLS through memory writes all or nothing");
  return {};
}

Error TlsSession::failed(const char* step) const {
  if (lacked_memory()) return Error::out_of_memory();
  const long verified = SSL_get_verify_result(ssl_.get());
  if (verified == X509_V_OK) return {Errc::pool_broken, std::string(step) + ": " + reason()};
  return {Errc::pool_broken, "its certificate does not hold for host \"" + host_ +
                                 "\": " + X509_verify_cert_error_string(verified) +
                                 " (RemoteOptions::ca_file says whom to trust)"};
}

}  // namespace leasepool::detail::nats
