#include "daemon/report.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <utility>

namespace sipnat::daemon {

namespace {

/// What this endpoint is to the call: its SDP says so.
std::string component_of(const Call& call, const MediaKey& key) {
    std::string found = "candidate";
    const auto look = [&](const std::vector<OwnStream>& streams) {
        for (const auto& stream : streams) {
            const auto at = std::ranges::find(stream.components, key) - stream.components.begin();
            if (at == std::ssize(stream.components)) continue;
            const bool is_rtp =
                stream.media == ExpectClass::audio || stream.media == ExpectClass::video;
            found = !is_rtp ? "data" : (at % 2 == 0 ? "rtp" : "rtcp");
        }
    };
    for (const auto& dialog : call.dialogs) {
        look(dialog.own.agreed);
        for (const auto& pending : dialog.own.pending)
            look(pending.streams);
    }
    return found;
}

/// Holes are sorted, those of one mapping together.
void add_streams(const Call& call, const MediaTable& media, control::Call& shown,
                 std::vector<MediaFlows>& flows) {
    const MediaKey* last = nullptr;
    for (const auto& hole : call.holes) {
        const auto& key = hole.mapping;
        const auto* mapping = media.find(key);
        if (mapping == nullptr || mapping->media == ExpectClass::signalling) continue;
        if (last == nullptr || *last != key) {
            shown.streams.push_back({std::string(to_text(mapping->media)),
                                     component_of(call, key),
                                     std::string(to_text(key.transport)),
                                     key.inside.text(),
                                     mapping->outside.text(),
                                     {},
                                     std::nullopt,
                                     std::nullopt});
            flows.push_back({key.transport, key.inside, mapping->outside});
            last = &key;
        }
        if (!hole.remote) continue;
        auto& stream = shown.streams.back();
        stream.remote.push_back(hole.remote->text());
        stream.direct = stream.direct || hole.way == Way::direct;
    }
}

}  // namespace

CallReport report_calls(const Engine& engine) {
    std::vector<const Call*> calls;
    engine.for_each_call([&](const Call& call) { calls.push_back(&call); });
    std::ranges::sort(calls, {}, [](const Call* call) {
        return std::tie(call->call_id, call->inside, call->remote, call->initiator_tag);
    });
    CallReport report;
    for (const auto* call : calls) {
        const bool rings = call->state == Call::State::ringing;
        auto& shown = report.calls.emplace_back(control::Call{
            call->call_id,
            rings ? "ringing" : "established",
            call->inside_initiated ? "inside" : "outside",
            call->inside.text(),
            call->remote.text(),
            {},
        });
        add_streams(*call, engine.media(), shown, report.media);
    }
    return report;
}

void add_packets(const MediaCounts& counts, CallReport& report) {
    auto count = counts.begin();
    for (auto& call : report.calls) {
        for (auto& stream : call.streams) {
            if (count == counts.end()) return;
            if (*count && !stream.direct) {
                stream.sent = (*count)->sent;
                stream.received = (*count)->received;
            }
            ++count;
        }
    }
}

std::vector<control::MediaMapping> report_media(const MediaTable& media) {
    std::vector<std::pair<const MediaKey*, const Mapping*>> mappings;
    for (const auto& [key, mapping] : media.mappings())
        mappings.emplace_back(&key, &mapping);
    std::ranges::sort(mappings, {}, [](const auto& one) {
        return std::tie(one.second->outside, one.first->transport, *one.first);
    });
    std::vector<control::MediaMapping> shown;
    for (const auto& [key, mapping] : mappings) {
        auto& one = shown.emplace_back(control::MediaMapping{
            mapping->outside.text(),
            key->inside.text(),
            std::string(to_text(key->transport)),
            std::string(to_text(mapping->media)),
            mapping->uses.empty() ? "resting" : "open",
            {},
            mapping->master.text(),
        });
        for (const auto& use : mapping->uses)
            one.remote.push_back(remote_text(media.hole({*key, use.remote, use.from, use.way})));
    }
    return shown;
}

std::vector<control::Registration> report_registrations(const Engine& engine,
                                                        const std::vector<FlowTuples>& missing,
                                                        Time now) {
    const std::set<FlowTuples> stale(missing.begin(), missing.end());
    std::vector<control::Registration> all;
    for (const auto& binding : engine.bindings()) {
        const auto left = std::chrono::duration_cast<std::chrono::seconds>(binding.until - now);
        all.push_back({binding.name.aor, binding.name.contact, binding.inside.text(),
                       binding.outside.text(), binding.registrar.text(),
                       std::string(to_text(binding.name.flow.transport)),
                       static_cast<std::uint64_t>(std::max<std::int64_t>(left.count(), 0)),
                       stale.contains(binding.flow)});
    }
    return all;
}

control::Stats report_stats(const Engine& engine) {
    const auto& counters = engine.counters();
    control::Stats stats;
    for (std::size_t i = 0; i < kReasons; ++i) {
        stats.emplace_back("messages_" + std::string(to_text(static_cast<Reason>(i))),
                           counters.packets.at(i));
    }
    stats.insert(stats.end(), {{"libosip2_refused_messages", counters.stricter_message},
                               {"libosip2_refused_sdp", counters.stricter_sdp},
                               {"short_content_lengths", counters.short_lengths},
                               {"broken_auth_int", counters.broken_digests},
                               {"unreachable_msrp", counters.unreachable_msrp},
                               {"media_of_another_family", counters.other_family},
                               {"media_not_from_announced", counters.unheard_sources},
                               {"registrations_over_limits", counters.refused_bindings},
                               {"holes_opened", counters.holes_opened},
                               {"holes_closed", counters.holes_closed},
                               {"calls", engine.calls()},
                               {"registrations", engine.bindings().size()},
                               {"mappings", engine.media().mappings().size()}});
    return stats;
}

}  // namespace sipnat::daemon
