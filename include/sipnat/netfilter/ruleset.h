// The shipped nft table: loading it, seeing whether it is still there, and its sets.
//
// Loading goes through libnftables, so that what the daemon does is what `nft -D … -f` does. A
// set's elements change with every call: those go straight to the kernel, some ten microseconds
// each.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "sipnat/base/result.h"
#include "sipnat/net/address.h"

namespace sipnat::netfilter {

inline constexpr const char* kTable = "sipnat";  ///< of family inet
/// Outside ports that are ours: new UDP to them is dropped unless it is expected.
inline constexpr const char* kMediaSet = "media";
/// Those of them that are signalling's.
inline constexpr const char* kSignallingSet = "signalling";
/// Outside TCP ports of signalling that is expected.
inline constexpr const char* kTcpSignallingSet = "signalling_tcp";

/// One `-D name=value`.
struct RulesetVariable {
    std::string name;
    std::string value;
};

enum class RulesetMode : std::uint8_t { load, check_only };

/// Loads a file of nft commands, all or nothing. check_only lets the kernel judge it and then
/// forget it. The error's cause is nft's own text, of several lines.
/// Register the helpers first: the kernel refuses `ct helper` objects of unknown type.
[[nodiscard]] Result<void> load_ruleset(const std::filesystem::path& file,
                                        std::span<const RulesetVariable> variables,
                                        RulesetMode mode = RulesetMode::load);
/// The same with the commands themselves.
[[nodiscard]] Result<void> run_ruleset(const std::string& commands, RulesetMode mode);

/// What `nft -j list ruleset` prints.
[[nodiscard]] Result<std::string> ruleset_as_json();

/// False after an admin's `nft flush ruleset` (or before anything was loaded).
[[nodiscard]] Result<bool> table_exists(const char* table = kTable);

struct SetElement {
    Endpoint endpoint;
    /// The kernel removes it after this; without, it stays until it is removed.
    std::optional<std::chrono::milliseconds> lifetime;
};

/// A set of `ipv4_addr . inet_service` in the table.
class EndpointSet {
  public:
    [[nodiscard]] static Result<EndpointSet> open(std::string set, std::string table = kTable);
    EndpointSet(EndpointSet&&) noexcept;
    EndpointSet& operator=(EndpointSet&&) noexcept;
    ~EndpointSet();

    /// Removes, then adds, as one transaction (of 1,000 elements each way, if there are more).
    /// Removing what is not there is no error; adding what is there keeps its lifetime, so name it
    /// in both to give it another. Codes: ENOENT (table or set is gone), ENOSPC (the set's size is
    /// reached), EAFNOSUPPORT (an IPv6 endpoint), EPERM.
    [[nodiscard]] Result<void> update(std::span<const Endpoint> remove,
                                      std::span<const SetElement> add);

  private:
    struct Impl;
    explicit EndpointSet(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

/// The set that keeps strangers' packets from making entries on media ports.
using MediaGuard = EndpointSet;

}  // namespace sipnat::netfilter
