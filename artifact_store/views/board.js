// Shows the age of each moment instead of its date, which becomes the tooltip.
const units = [["day", 86400], ["hour", 3600], ["minute", 60]];
const words = new Intl.RelativeTimeFormat("en", {numeric: "always"});
function update() {
  for (const moment of document.querySelectorAll("time[datetime]")) {
    const seconds = (Date.now() - Date.parse(moment.dateTime)) / 1000;
    const [unit, length] = units.find(([, length]) => seconds >= length) ?? ["", 1];
    moment.title ||= moment.textContent;
    if (seconds > -60) moment.textContent = unit ? words.format(-Math.floor(seconds / length), unit) : "just now";
  }
}
update();
setInterval(update, 60000);
