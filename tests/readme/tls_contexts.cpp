// What docs/service.md leaves to the reader: contexts of OpenSSL, the server's with a certificate that nobody signed.
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstdlib>

SSL_CTX* make_context(bool is_server);

// Freed with the program.
SSL_CTX* make_context(bool is_server) {
  SSL_CTX* const context = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
  if (context == nullptr) std::abort();
  if (!is_server) return context;
  EVP_PKEY* const key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
  X509* const certificate = X509_new();
  if (key == nullptr || certificate == nullptr) std::abort();
  constexpr long kDay = 24L * 60 * 60;
  X509_gmtime_adj(X509_getm_notBefore(certificate), -kDay);
  X509_gmtime_adj(X509_getm_notAfter(certificate), kDay);
  X509_set_pubkey(certificate, key);
  if (X509_sign(certificate, key, EVP_sha256()) == 0 || SSL_CTX_use_certificate(context, certificate) != 1 ||
      SSL_CTX_use_PrivateKey(context, key) != 1) {
    std::abort();
  }
  X509_free(certificate);
  EVP_PKEY_free(key);
  return context;
}
