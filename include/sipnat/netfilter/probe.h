// What this kernel can do for us, found out by doing it: modules load late, modprobe lies when its
// configuration tells it to, and containers are refused what their host has.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sipnat/base/result.h"
#include "sipnat/netfilter/queue_number.h"

namespace sipnat::netfilter {

/// One thing that is not there, for an admin.
struct MissingPiece {
    std::string what;    ///< "expectation function \"sip\""
    std::string why;     ///< what the kernel answered, and who keeps it from being loaded
    std::string remedy;  ///< "modprobe nf_nat_sip"
};

struct Probe {
    bool helpers = false;          ///< nfnetlink_cthelper: both helpers are registered now
    bool conntrack_glue = false;   ///< queued packets carry their entry
    bool queue_statement = false;  ///< nft's `queue`
    bool sip_function = false;     ///< nf_nat_sip's function can be named by an expectation
    std::vector<MissingPiece> missing;

    [[nodiscard]] bool complete() const { return missing.empty(); }
};

/// Where modprobe looks, the first folder that has a file of some name wins.
inline constexpr std::string_view kModprobeFolders[] = {"/etc/modprobe.d", "/run/modprobe.d",
                                                        "/usr/local/lib/modprobe.d",
                                                        "/usr/lib/modprobe.d", "/lib/modprobe.d"};

/// A line that keeps a module from being loaded.
struct ModuleBlock {
    std::string module;  ///< with underscores
    std::filesystem::path file;
    int line = 0;
    std::string text;  ///< the line, without comment and surrounding blanks

    bool operator==(const ModuleBlock&) const = default;
};

/// Every `blacklist` and `install` of these modules, in the folders' order and files' names' order.
/// Folders and files that cannot be read are passed over.
[[nodiscard]] std::vector<ModuleBlock> find_module_blocks(
    std::span<const std::filesystem::path> folders, std::span<const std::string_view> modules);

/// Tries everything in the calling thread's network namespace. Leaves the helpers registered for
/// that queue and nothing else: an entry and an expectation between TEST-NET addresses are removed
/// again at once, and nft's rule is only checked. Needs CAP_NET_ADMIN (code EPERM).
[[nodiscard]] Result<Probe> probe_kernel(QueueNumber queue,
                                         std::span<const std::filesystem::path> modprobe_folders);
/// With kModprobeFolders.
[[nodiscard]] Result<Probe> probe_kernel(QueueNumber queue);

}  // namespace sipnat::netfilter
