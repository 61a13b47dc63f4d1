//! `freshet simulate`: the simulated Reddit alone.

use super::Usage;
use super::arguments::SimulateArguments;
use crate::simulator::{
    ArchiveOptions, Bursts, Corpus, CorpusMode, Ids, Oddities, Simulator, SimulatorOptions,
};
use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(super) async fn run(arguments: SimulateArguments) -> anyhow::Result<()> {
    let options = options(&arguments)?;
    let count = options.subreddits.len();
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("--listen: {} cannot be listened on", arguments.listen))?;
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    tracing::info!(
        url = %format!("http://{address}"),
        truth = %format!("http://{address}/simulator/truth"),
        subreddits = count,
        "SIMULATED Reddit: made up, and reachable with any client id"
    );
    if !address.ip().is_loopback() {
        tracing::warn!(
            %address,
            "--listen is reachable from other machines, and whoever reaches it may change this world"
        );
    }
    let stop = CancellationToken::new();
    let mut signals = crate::app::Stop::listen().context("signals cannot be listened for")?;
    let serve = Simulator::serve(options, listener, stop.clone());
    tokio::pin!(serve);
    tokio::select! {
        ended = &mut serve => return ended.context("the simulated Reddit ended"),
        () = signals.next() => stop.cancel(),
    }
    tokio::select! {
        ended = serve => ended.context("the simulated Reddit ended"),
        () = signals.next() => Ok(()),
    }
}

fn options(arguments: &SimulateArguments) -> anyhow::Result<SimulatorOptions> {
    let oddities: Oddities = arguments
        .oddities
        .parse()
        .map_err(|error| Usage(format!("--oddities: {error}")))?;
    let corpus = if arguments.corpus.is_empty() {
        None
    } else {
        let corpus = Corpus::open(&arguments.corpus).context("--corpus")?;
        tracing::info!(
            submissions = corpus.len(),
            refused = corpus.refused(),
            "The corpus is read"
        );
        let mode = match arguments.arrivals_per_second {
            Some(per_second) if per_second > 0.0 => CorpusMode::Arriving { per_second },
            Some(_) => {
                return Err(Usage("--arrivals-per-second: must be above 0".to_owned()).into());
            }
            None => CorpusMode::Listed,
        };
        Some((corpus, mode))
    };
    // A corpus is the world, unless more is asked for.
    let made_up = if corpus.is_some() {
        0
    } else {
        arguments.subreddits as usize
    };
    let each = arguments.per_hour / f64::from(arguments.subreddits.max(1));
    if !(each.is_finite() && each >= 0.0) {
        return Err(Usage("--per-hour: must be a number, and not below 0".to_owned()).into());
    }
    if !(0.0..=1.0).contains(&arguments.archive_overload) {
        return Err(Usage("--archive-overload: must be a number from 0 to 1".to_owned()).into());
    }
    if !(0.0..=0.5).contains(&arguments.unused_ids) {
        return Err(Usage("--unused-ids: must be a number from 0 to 0.5".to_owned()).into());
    }
    if !(arguments.rest_per_second.is_finite() && arguments.rest_per_second >= 0.0) {
        return Err(
            Usage("--rest-per-second: must be a number, and not below 0".to_owned()).into(),
        );
    }
    Ok(SimulatorOptions {
        ids: Ids {
            counter: arguments.dense_ids,
            unused: arguments.unused_ids,
            rest_per_second: arguments.rest_per_second,
        },
        archive: ArchiveOptions {
            lag: arguments.archive_lag,
            overload: arguments.archive_overload,
            ..ArchiveOptions::default()
        },
        history: arguments.history,
        whole_days: arguments.whole_days,
        oddities,
        corpus,
        requests_per_minute: Some(arguments.requests_per_minute).filter(|limit| *limit > 0),
        latency: arguments.latency,
        gzip: arguments.gzip,
        longest_url: arguments.longest_url,
        steady: arguments.steady,
        bursts: bursts(arguments)?,
        listing_cap: arguments.listing_cap,
        ..SimulatorOptions::world(arguments.seed, made_up, each)
    })
}

fn bursts(arguments: &SimulateArguments) -> Result<Option<Bursts>, Usage> {
    let Some(every) = arguments.burst_every else {
        return Ok(None);
    };
    let (lasts, factor) = (arguments.burst_lasts, arguments.burst_factor);
    if lasts.is_zero() || lasts.saturating_mul(2) > every {
        return Err(Usage(
            "--burst-lasts: must be above 0 and at most half of --burst-every".to_owned(),
        ));
    }
    if !(factor.is_finite() && factor >= 1.0) {
        return Err(Usage(
            "--burst-factor: must be a number, and not below 1".to_owned(),
        ));
    }
    Ok(Some(Bursts {
        every,
        lasts,
        factor,
    }))
}
