#include "sipnat/netfilter/ruleset.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>

#include <cerrno>
#include <cstring>

#include "netfilter/socket.h"

namespace sipnat::netfilter {
namespace {

struct FreeContext {
    void operator()(nft_ctx* context) const noexcept { nft_ctx_free(context); }
};
using Context = std::unique_ptr<nft_ctx, FreeContext>;

/// A context that keeps what nft prints instead of printing it.
Context make_context(RulesetMode mode) {
    Context context(nft_ctx_new(NFT_CTX_DEFAULT));
    if (context &&
        (nft_ctx_buffer_error(context.get()) != 0 || nft_ctx_buffer_output(context.get()) != 0)) {
        context.reset();
    }
    if (context) {
        nft_ctx_set_dry_run(context.get(), mode == RulesetMode::check_only);
    }
    return context;
}

std::string error_text(nft_ctx* context) {
    std::string text = nft_ctx_get_error_buffer(context);
    while (!text.empty() && text.back() == '\n') {
        text.pop_back();
    }
    return text.empty() ? "nft gave no reason" : text;
}

}  // namespace

Result<void> load_ruleset(const std::filesystem::path& file,
                          std::span<const RulesetVariable> variables, RulesetMode mode) {
    const Context context = make_context(mode);
    if (!context) {
        return fail_errno("load nft rules", file.string(), ENOMEM);
    }
    for (const auto& [name, value] : variables) {
        if (nft_ctx_add_var(context.get(), (name + "=" + value).c_str()) != 0) {
            return fail("load nft rules", file.string(), "cannot set variable " + name, EINVAL);
        }
    }
    if (nft_run_cmd_from_filename(context.get(), file.c_str()) != 0) {
        return fail("load nft rules", file.string(), error_text(context.get()));
    }
    return {};
}

Result<void> run_ruleset(const std::string& commands, RulesetMode mode) {
    const Context context = make_context(mode);
    if (!context) {
        return fail_errno("run nft commands", "", ENOMEM);
    }
    if (nft_run_cmd_from_buffer(context.get(), commands.c_str()) != 0) {
        return fail("run nft commands", "", error_text(context.get()));
    }
    return {};
}

Result<std::string> ruleset_as_json() {
    const Context context = make_context(RulesetMode::load);
    if (!context) {
        return fail_errno("list nft rules", "", ENOMEM);
    }
    // Without the elements of named sets: blocklists are long.
    nft_ctx_output_set_flags(context.get(), NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_TERSE);
    if (nft_run_cmd_from_buffer(context.get(), "list ruleset") != 0) {
        return fail("list nft rules", "", error_text(context.get()));
    }
    return std::string(nft_ctx_get_output_buffer(context.get()));
}

Result<bool> table_exists(const char* table) {
    auto socket = Socket::open(NETLINK_NETFILTER);
    if (!socket) {
        return in_context("look for nft table", std::move(socket.error()));
    }
    const auto sequence = socket->next_sequence();
    Buffer buffer;
    append_message(buffer, 64 + std::strlen(table), [&](char* place) {
        nlmsghdr* message =
            begin_netfilter_message(place, message_type(NFNL_SUBSYS_NFTABLES, NFT_MSG_GETTABLE),
                                    NLM_F_ACK, sequence, NFPROTO_INET);
        mnl_attr_put_strz(message, NFTA_TABLE_NAME, table);
        return message;
    });
    const auto failed = socket->request(buffer, sequence);
    if (failed && failed != std::errc::no_such_file_or_directory) {
        return fail_errno("look for nft table", std::string("inet ") + table, failed.value());
    }
    return !failed;
}

}  // namespace sipnat::netfilter
