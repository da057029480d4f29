// Certificates of a test's own making.
#pragma once

#include <cstdlib>
#include <string>

#include "support/skip.hpp"
#include "support/temporary_directory.hpp"

namespace leasepool::test {

// Authorities "ca" and "other", servers' certificates of localhost and 127.0.0.1 and of another host, and a client's.
class Certificates {
 public:
  Certificates() {
    good_ = authority("ca") && authority("other") && issue("server", "DNS:localhost,IP:127.0.0.1") &&
            issue("elsewhere", "DNS:elsewhere.example") && issue("client", "email:client@example.com");
  }
  [[nodiscard]] bool are_there() const {
    if (!good_) skip("the openssl command makes no certificates");
    return good_;
  }
  [[nodiscard]] std::string operator/(const std::string& name) const { return directory_ / name; }

  // A server's configuration.
  [[nodiscard]] std::string of_server(const std::string& name, const std::string& more = {}) const {
    return "tls { cert_file: \"" + directory_ / (name + ".crt") + "\", key_file: \"" + directory_ / (name + ".key") +
           "\" " + more + " }";
  }

 private:
  [[nodiscard]] bool run(const std::string& arguments) const {
    const std::string command =
        "cd '" + directory_.path().string() + "' && openssl " + arguments + " >>openssl.log 2>&1 </dev/null";
    return std::system(command.c_str()) == 0;  // NOLINT(concurrency-mt-unsafe,cert-env33-c)
  }
  [[nodiscard]] bool authority(const std::string& name) const {
    return run("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=" + name +
               "' -keyout " + name + ".key -out " + name + ".crt");
  }
  [[nodiscard]] bool issue(const std::string& name, const std::string& names) const {
    return run("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=" + name +
               "' -addext 'subjectAltName=" + names +
               "' -addext basicConstraints=critical,CA:FALSE -CA ca.crt -CAkey "
               "ca.key -keyout " +
               name + ".key -out " + name + ".crt") ||
           (run("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=" + name +
                "' -addext 'subjectAltName=" + names + "' -keyout " + name + ".key -out " + name + ".csr") &&
            run("x509 -req -days 2 -copy_extensions copy -in " + name +
                ".csr -CA ca.crt -CAkey ca.key -CAcreateserial "
                "-out " +
                name + ".crt"));
  }

  TemporaryDirectory directory_;
  bool good_ = false;
};

}  // namespace leasepool::test
