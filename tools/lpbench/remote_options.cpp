// The options of leasepool::RemoteOptions that a command line needs.
#include "remote_options.hpp"

#include <string>

namespace lpbench {

CLI::Option* add_remote_options(CLI::App& command, leasepool::RemoteOptions& remote) {
  CLI::Option* const servers =
      command.add_option("--servers", remote.servers, "NATS servers that nodes are at, with commas between them")
          ->type_name("URLS")
          ->check([](const std::string& text) {
            return text.empty() ? std::string("'' will not do: give a server, as nats://host:4222") : std::string();
          });
  const auto add = [&](const char* name, std::string& into, const char* help, const char* type) {
    return command.add_option(name, into, help)->type_name(type)->needs(servers);
  };
  add("--cluster", remote.cluster, "The nodes' cluster", "NAME")->capture_default_str();
  add("--pool", remote.pool, "What the pools of nodes are called", "NAME")->capture_default_str();
  add("--user", remote.user, "Who this is to the server", "NAME");
  add("--credentials-file", remote.credentials_file, "A file with the user's password, a token, a seed or a JWT",
      "FILE");
  add("--ca-file", remote.ca_file, "Certificates that the server's is checked against, and TLS", "FILE");
  add("--cert-file", remote.cert_file, "The certificate that this end shows, and TLS", "FILE");
  add("--key-file", remote.key_file, "Its key", "FILE");
  return servers;
}

}  // namespace lpbench
