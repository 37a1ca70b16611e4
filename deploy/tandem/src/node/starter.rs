//! Starts the roles of a node, each on threads of its own, and keeps their threads.

use super::{ConfigHub, owner, xdrs_stream};
use crate::authorise::Gate;
use crate::health::RoleEnded;
use crate::output::Failure;
use crate::past;
use crate::peers;
use crate::radius::{self, settings::RadiusSettings};
use crate::records::Records;
use crate::runs::{LoaderRuns, RunsHub, RunsWorker};
use crate::settings::{Settings, XdrOutSettings};
use crate::xdr_out::{self, XdrOut};
use bus::Bus;
use ingest::{DropFolder, Ingest, IngestOptions, SwitchTopic, WriterOptions};
use ledger::{ConfigNow, Follower, LedgerOptions, Orders, Refold, Standing, View};
use rater::{RaterOptions, RaterStats};
use reporting::Engine;
use reporting::loader::{Books, BusFrames, Loader};
use schemas::SchemaIds;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Starts roles and keeps their threads.
pub(crate) struct Starter<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) bus: &'a Arc<dyn Bus>,
    pub(crate) ids: &'a SchemaIds,
    pub(crate) config: &'a Arc<ConfigHub>,
    pub(crate) stop: &'a Arc<AtomicBool>,
    pub(crate) failures: &'a Arc<Mutex<Vec<RoleEnded>>>,
    pub(crate) standing: &'a Arc<Standing>,
    pub(crate) threads: Vec<JoinHandle<()>>,
}

impl Starter<'_> {
    /// Runs `work` on a thread; its error is kept for the console and ends nothing else.
    pub(crate) fn spawn(
        &mut self,
        name: &str,
        work: impl FnOnce(&AtomicBool) -> Result<(), String> + Send + 'static,
    ) -> Result<(), Failure> {
        let (stop, failures, role) = (self.stop.clone(), self.failures.clone(), name.to_owned());
        let body = move || {
            if let Err(why) = work(&stop) {
                tracing::error!(role, "{why}");
                let since = std::time::SystemTime::now();
                failures.lock().unwrap_or_else(PoisonError::into_inner).push(RoleEnded { role, since, why });
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
        self.threads.push(thread.map_err(|e| Failure::Broken(format!("thread {name}: {e}")))?);
        Ok(())
    }

    pub(crate) fn follow_config(&mut self) {
        let config = self.config.clone();
        let follow = move |stop: &AtomicBool| {
            while !stop.load(Ordering::Relaxed) {
                match config.poll() {
                    Ok(()) => {}
                    Err(error) if error.is_retriable() => {
                        tracing::warn!(%error, "the config log cannot be followed, trying again");
                        thread::sleep(Duration::from_millis(500));
                    }
                    Err(_) if stop.load(Ordering::Relaxed) => return Ok(()),
                    Err(error) => return Err(error.to_string()),
                }
                thread::sleep(Duration::from_millis(80));
            }
            Ok(())
        };
        // A thread that cannot be made is reported by the next role's start.
        let _ = self.spawn("config", follow);
    }

    pub(crate) fn config_now(&self) -> ConfigNow {
        let config = self.config.clone();
        Arc::new(move || config.current())
    }

    pub(crate) fn ingest(&mut self, collect: bool) -> Result<Arc<Ingest>, Failure> {
        let mut writer = WriterOptions::new(
            &format!("ingest-{}", self.settings.site),
            self.settings.partitions,
            &self.settings.data.join("ingest"),
        );
        writer.ids = self.ids.clone();
        let config = self.config.clone();
        let drop = self.settings.ingest.drop.iter().map(|d| DropFolder::new(&d.switch, &d.folder)).collect();
        let topics = &self.settings.ingest.switch_events;
        let options = IngestOptions {
            writer,
            raw: self.settings.data.join("raw"),
            drop: if collect { drop } else { Vec::new() },
            switch_events: if collect {
                topics
                    .iter()
                    .map(|t| SwitchTopic { topic: t.topic.clone(), switch: t.switch.as_str().into() })
                    .collect()
            } else {
                Vec::new()
            },
            switches: Arc::new(move |id| config.current().switches.get(id).cloned()),
        };
        let ingest = Arc::new(Ingest::start(self.bus.clone(), options).map_err(Failure::broken)?);
        let running = ingest.clone();
        self.spawn("ingest", move |stop| running.run(stop).map_err(|e| e.to_string()))?;
        Ok(ingest)
    }

    pub(crate) fn raters(&mut self, partitions: &[u32]) -> Result<Vec<(u32, Arc<RaterStats>)>, Failure> {
        let mut all = Vec::new();
        let events_from = self.standing.note().events_from;
        for partition in partitions {
            let stats = Arc::new(RaterStats::default());
            let mut options = RaterOptions::new(
                self.bus.clone(),
                self.ids.clone(),
                &self.settings.site,
                *partition,
                self.config_now(),
                owner(),
            );
            options.index = Some(self.settings.data.join("rater"));
            options.lost_before = events_from.get(*partition as usize).copied().unwrap_or(0);
            let shown = stats.clone();
            self.spawn(&format!("rater-{partition}"), move |stop| {
                rater::run_partition(options, stop, &shown).map_err(|e| e.to_string())
            })?;
            all.push((*partition, stats));
        }
        Ok(all)
    }

    pub(crate) fn ledger(&mut self, sites: Option<&Arc<sites::Sites>>) -> Result<(Arc<View>, Option<Orders>), Failure> {
        let mut options = LedgerOptions::new(
            self.bus.clone(),
            &self.settings.site,
            self.settings.partitions,
            self.config_now(),
            self.settings.data.join("ledger"),
        );
        options.ids = self.ids.clone();
        options.owner = owner();
        options.program = ledger::shadow::this_program();
        ledger::folds::known(&self.config.current(), ledger::folds::newest()).map_err(Failure::broken)?;
        options.vendor_days = self.settings.credit.vendor_days;
        // Checked when the settings were read.
        options.net_positions = self.settings.credit.net_positions().unwrap_or_default();
        options.new_customers = Some(self.settings.credit.new_customers.clone());
        peers::ledger_options(self.settings, sites, self.standing, &mut options);
        let (door, inbox) = ledger::door(&options);
        self.spawn("ledger", move |stop| ledger::run(&options, &inbox, stop).map_err(|e| e.to_string()))?;
        Ok((door.view, Some(door.orders)))
    }

    /// The indexes of the past, a ledger each, and beside the ledger's writer a second fold that looks after it.
    pub(crate) fn past(&mut self, slots: &[Arc<past::Slot>], writes: bool) -> Result<Option<Arc<Refold>>, Failure> {
        let mut refold = None;
        if writes {
            let ledger = self.settings.data.join("ledger");
            let second = Refold::new(self.bus.clone(), self.ids.clone(), &self.settings.site, &ledger);
            refold = Some(second.clone());
            self.spawn("refold", move |stop| {
                second.run(stop);
                Ok(())
            })?;
        }
        for past in slots {
            let past = past.clone();
            self.spawn("past", move |stop| {
                past.run(stop);
                Ok(())
            })?;
        }
        Ok(refold)
    }

    pub(crate) fn radius(
        &mut self,
        settings: &RadiusSettings,
        orders: &Orders,
        view: &Arc<View>,
    ) -> Result<Arc<radius::Door>, Failure> {
        let gate = Gate::new(self.config.clone(), orders.clone());
        let (view, config) = (view.clone(), self.config.clone());
        let watch = radius::rule::Watch { ends: settings.end_calls, view, config };
        let (door, sockets) = radius::Door::open(settings, gate, watch).map_err(Failure::Broken)?;
        let (served, folder) = (door.clone(), self.settings.data.join("radius"));
        self.spawn("radius", move |stop| served.run(sockets, &folder, stop))?;
        Ok(door)
    }

    pub(crate) fn runs(&mut self, hub: &Arc<RunsHub>, view: &Arc<View>) -> Result<(), Failure> {
        let (hub, view, config) = (hub.clone(), view.clone(), self.config.clone());
        let worker = RunsWorker {
            hub,
            view,
            bus: self.bus.clone(),
            ids: self.ids.clone(),
            config,
            data: self.settings.data.clone(),
        };
        self.spawn("runs", move |stop| {
            worker.work(stop);
            Ok(())
        })
    }

    pub(crate) fn follower(&mut self) -> Result<Arc<View>, Failure> {
        let kept = self.settings.data.join("ledger");
        let opened = Follower::open(self.bus.clone(), self.ids, &self.settings.site, self.config_now(), Some(&kept));
        let (mut follower, view) = opened.map_err(Failure::broken)?;
        self.spawn("ledger-follower", move |stop| follower.run(stop).map_err(|e| e.to_string()))?;
        Ok(view)
    }

    pub(crate) fn records(&mut self, records: &Arc<Records>) -> Result<(), Failure> {
        for partition in 0..self.settings.partitions as usize {
            let stream = xdrs_stream(&self.settings.site, partition);
            let (bus, ids, records) = (self.bus.clone(), self.ids.clone(), records.clone());
            self.spawn(&format!("records-{partition}"), move |stop| records.follow(&*bus, &ids, &stream, stop))?;
        }
        Ok(())
    }

    pub(crate) fn xdr_out(
        &mut self,
        topic: &XdrOutSettings,
        records: &Arc<Records>,
    ) -> Result<Arc<xdr_out::Status>, Failure> {
        let (bus, ids) = (self.bus.clone(), self.ids.clone());
        let out = XdrOut::open(topic, &self.settings.data, bus, ids, records.clone())?;
        for partition in 0..self.settings.partitions as usize {
            let (out, stream) = (out.clone(), xdrs_stream(&self.settings.site, partition));
            self.spawn(&format!("xdr-out-{partition}"), move |stop| out.run(&stream, stop))?;
        }
        Ok(out.status)
    }

    pub(crate) fn loader(
        &mut self,
        engine: &Engine,
        view: &Arc<View>,
        runs: &Arc<RunsHub>,
    ) -> Result<reporting::loader::Status, Failure> {
        let site = self.settings.site.clone();
        let mut loader = Loader::open(engine, &site, &self.settings.data.join("loader")).map_err(Failure::broken)?;
        for partition in 0..self.settings.partitions as usize {
            let stream = xdrs_stream(&site, partition);
            let frames = BusFrames::new(self.bus.clone(), self.ids.clone(), &stream);
            loader.add(&stream, Box::new(frames)).map_err(Failure::broken)?;
        }
        if !self.settings.peers.is_empty() {
            let books = Books::new(self.bus.clone(), self.ids.clone(), &site);
            loader.follow_books(books).map_err(Failure::broken)?;
        }
        let (hub, ids) = (runs.clone(), self.ids.clone());
        loader.follow(Box::new(LoaderRuns { hub, view: view.clone(), ids }));
        let status = loader.status();
        let view = view.clone();
        self.spawn("loader", move |stop| {
            let booked = |stream: &str| Some(view.progress().state.next_position(stream));
            loader.run(&booked, stop);
            Ok(())
        })?;
        Ok(status)
    }
}
